"""The whole report: files, figures, the same bytes twice, and the verb."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.collect import ResultReader, collect
from analysis.plots import base, gallery, overview
from analysis.plots.curve import positions
from analysis.plots.training import over_seeds, read_curve
from analysis.published import read_published
from analysis.report import ALWAYS, ReportConfig, ReportSummary, write_reports
from analysis.resample import BootstrapConfig
from analysis.summary import Bootstrap, Summary, summarise
from core.errors import UserError
from sweeps.declared import read_plan
from tests.analysis.factory import KEY, MadeCell, World, baselines, make_ablation, trial_id, write_trial
from viewpair.cli import main

SMALL = World(patients=30, labels=("Edema", "Pneumothorax"))
CONFIG = BootstrapConfig(resamples=100)
FORMATS = ("png", "pdf", "svg")
RATIOS, WEIGHTS = [0.5, 0.75, 0.9], [0.0, 1.0]


def make_all(root: Path) -> None:
    """Four small ablations that ask for every figure."""
    figures = ("fractions", "profiles", "calibration")
    make_ablation(root, "baselines", baselines(), SMALL, seeds=(0, 1), draw=figures)
    pairs = [MadeCell(f"mvmae pairing={p}", values={"pairing": p}) for p in ("same_study", "random")]
    axes: dict[str, list[Any]] = {"pairing": ["same_study", "random"]}
    claims = ["mvmae[pairing=same_study] > mvmae[pairing=random] on macro_auroc"]
    make_ablation(root, "pairing", pairs, SMALL, (0, 1), axes, ("strip", "training"), claims=claims)
    grid = [
        MadeCell(f"mvmae mask_ratio={r} weight={w}", values={"method.mask_ratio": r, "method.weight": w})
        for r in RATIOS
        for w in WEIGHTS
    ]
    axes = {"method.mask_ratio": RATIOS, "method.weight": WEIGHTS}
    make_ablation(root, "alignment_weight", grid, SMALL, (0,), axes, ("heatmap", "curve"))


def summary_of(root: Path, name: str) -> Summary:
    return summarise(collect(ResultReader(root), read_plan(root, name)), Bootstrap(CONFIG))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ReportSummary]:
    """A root with a report of `make_all`, written once for the tests that only look at it."""
    root = tmp_path_factory.mktemp("reported") / "outputs"
    make_all(root)
    return root, write_reports(root, None, CONFIG)


def test_a_report_has_every_file_and_a_second_one_in_another_process_the_same_bytes(
    reported: tuple[Path, ReportSummary],
) -> None:
    root, summary = reported
    assert summary.path == root / "reports" / "index.md"
    assert "random encoder" in summary.main_table
    first = contents(root / "reports")
    expected = {"index.md", "index.html", *(f"main.{form}" for form in FORMATS)}
    drawn = {
        "baselines": ["fractions", "profiles", "calibration"],
        "pairing": ["strip", "training"],
        "alignment_weight": ["heatmap", "curve"],
    }
    for name, figures in drawn.items():
        sections = ["comparisons", "quality", "efficiency"] + (["claims"] if name == "pairing" else [])
        published = any(entry.ablation == name for entry in read_published())
        files = ["report.md", "report.html", "table.md", "table.csv", "table.tex", "labels.csv", "labels.tex"]
        files += ["results.parquet", "label_comparisons.csv"] + (["published.tex"] if published else [])
        files += [f"{section}.{form}" for section in sections for form in ("csv", "tex")]
        files += [f"{figure}.{form}" for figure in [*figures, *ALWAYS] for form in FORMATS]
        expected |= {f"{name}/{file}" for file in files}
    assert set(first) == expected
    assert all(len(data) > 100 for data in first.values())
    # The second one is written by two processes, however few the trials.
    code = "import analysis.report as r; from pathlib import Path; r.TRIALS_A_WORKER = 1; "
    code += f"r.write_reports(Path({str(root)!r}), None, r.BootstrapConfig(resamples=100))"
    environment = os.environ | {
        "OMP_NUM_THREADS": "2",
        "PYTHONHASHSEED": "7",
        "SOURCE_DATE_EPOCH": "1",
        "TZ": "Asia/Tokyo",
    }
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True)
    second = contents(root / "reports")
    assert [name for name in first if first[name] != second.get(name)] == []
    assert set(second) == set(first)


def test_links_of_the_pages_lead_somewhere(reported: tuple[Path, ReportSummary]) -> None:
    root, _ = reported
    pages = list((root / "reports").rglob("*.md"))
    assert len(pages) == 7
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)]+)\)", page.read_text())]
    assert len(links) > 30
    assert [(page, link) for page, link in links if not (page.parent / link).exists()] == []


def test_a_figure_that_is_no_longer_drawn_does_not_stay(root: Path) -> None:
    ids = make_ablation(root, "made", [MadeCell("only")], SMALL, seeds=(0,), draw=("strip",))
    write_reports(root, None, CONFIG)
    strip = root / "reports" / "made" / "strip.png"
    assert strip.exists()
    (root / "trials" / ids["only"][0] / "evaluations" / KEY / "result.json").unlink()
    write_reports(root, None, CONFIG)
    assert not strip.exists()
    assert "hole (0 of 1 seeds)" in (root / "reports" / "index.md").read_text()


def test_a_refused_table_leaves_the_last_report_as_it_was(root: Path) -> None:
    make_ablation(root, "made", [MadeCell("first"), MadeCell("second")], SMALL, seeds=(0,))
    write_reports(root, None, CONFIG)
    before = contents(root / "reports")
    cell = MadeCell("first")
    write_trial(root, trial_id(cell, 0, {}), cell, 0, replace(SMALL, fingerprint="another"))
    with pytest.raises(UserError, match="2 data sets"):
        write_reports(root, None, CONFIG)
    assert contents(root / "reports") == before


def test_strict_refuses_a_table_with_holes_and_leaves_the_last_report(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [MadeCell("first"), MadeCell("second")]
    ids = make_ablation(root, "made", cells, SMALL, seeds=(0, 1))
    write_reports(root, None, ReportConfig(CONFIG, strict=True))
    before = contents(root / "reports")
    (root / "trials" / ids["second"][1] / "evaluations" / KEY / "result.json").unlink()
    assert main(["report", "--strict", f"paths.root={root}", "--resamples", "100"]) == 2
    told = capsys.readouterr().err
    assert "1 holes" in told
    assert f"second, seed 1, trial {ids['second'][1]}" in told
    assert "viewpair resume ablation=made" in told
    assert contents(root / "reports") == before


def test_a_curve_over_many_values_names_some_of_them(root: Path) -> None:
    values = [place / 30 for place in range(1, 30)]
    cells = [MadeCell(f"mvmae mask_ratio={v}", values={"method.mask_ratio": v}) for v in values]
    make_ablation(root, "many", cells, SMALL, (0,), {"method.mask_ratio": values}, ("curve",))
    with base.look():
        drawn = base.draw("curve", summary_of(root, "many"))
    assert drawn is not None
    (panel, *_) = drawn.figure.axes
    assert [t.get_text() for t in panel.get_xticklabels()] == [f"{v:g}" for v in values[::3]]
    # The points that have no name of their own are drawn all the same.
    assert panel.lines[0].get_xdata() == pytest.approx(values)


def test_axes_of_every_figure_are_named(root: Path) -> None:
    make_all(root)
    summary = summary_of(root, "alignment_weight")
    with base.look():
        heat = base.draw("heatmap", summary)
        curve = base.draw("curve", summary)
        strip = base.draw("strip", summary_of(root, "pairing"))
        fractions = base.draw("fractions", summary_of(root, "baselines"))
        training = base.draw("training", summary_of(root, "pairing"))
        profiles = base.draw("profiles", summary_of(root, "baselines"))
        calibration = base.draw("calibration", summary_of(root, "baselines"))
        whole = overview.draw(summary_of(root, "baselines"), summary_of(root, "pairing"))
    assert all((heat, curve, strip, fractions, training, profiles, calibration))
    assert heat is not None
    map_, bar = heat.figure.axes
    assert (map_.get_xlabel(), map_.get_ylabel()) == ("Masking ratio", "Alignment weight β")
    assert [t.get_text() for t in map_.get_xticklabels()] == ["0.5", "0.75", "0.9"]
    assert bar.get_ylabel() == "Macro AUROC, 100 % of labels"
    assert [panel.get_xlabel() for panel in curve.figure.axes] == ["Masking ratio"] * 3
    assert curve.figure.axes[0].get_ylabel() == "Macro AUROC"
    assert [panel.get_title(loc="left") for panel in curve.figure.axes] == [f"{p} % of labels" for p in (1, 10, 100)]
    assert [t.get_text() for t in strip.figure.axes[0].get_yticklabels()] == ["same study", "random"]
    assert strip.figure.axes[0].get_xlabel() == "Macro AUROC"
    assert "label" in fractions.figure.axes[0].get_xlabel()
    assert training.figure.axes[0].get_xlabel() == "Optimiser step"
    assert training.figure.axes[0].get_ylabel() == "Training loss"
    assert len(whole.figure.axes) == 2
    assert profiles.figure.axes[0].get_xlabel() == "AUROC of a label, 100 % of labels"
    assert profiles.figure.axes[0].get_ylabel() == "Share of labels and seeds above"
    assert [panel.get_title(loc="left") for panel in calibration.figure.axes] == [
        "MAE",
        "VICReg",
        "Supervised",
        "Random encoder",
    ]
    assert calibration.figure.axes[0].get_ylabel() == "Share positive"
    for drawn in (heat, curve, strip, fractions, whole, profiles, calibration):
        assert f"n = {len(SMALL.studies()[0])} test studies of 30 patients" in drawn.caption


def test_a_curve_stands_at_the_means_of_its_cells(root: Path) -> None:
    make_all(root)
    summary = summary_of(root, "alignment_weight")
    with base.look():
        drawn = base.draw("curve", summary)
    assert drawn
    lines = [line for line in drawn.figure.axes[2].get_lines() if len(line.get_xdata()) == len(RATIOS)]
    means = [row.entries["macro_auroc_1"].estimate.mean for row in summary.rows]
    # Rows go through the weights first: every second one belongs to the first line.
    assert [list(line.get_ydata()) for line in lines] == [means[0::2], means[1::2]]
    assert list(lines[0].get_xdata()) == RATIOS


def test_values_over_orders_of_magnitude_stand_evenly() -> None:
    assert positions([0.5, 0.75, 0.93]) == [0.5, 0.75, 0.93]
    assert positions([0.0, 0.1, 1.0, 10.0]) == [0.0, 1.0, 2.0, 3.0]
    assert positions([0.3]) == [0.3]


def test_labels_are_moved_apart_no_further_than_needed() -> None:
    assert base.spread([0.0, 5.0, 10.0], 1.0) == [0.0, 5.0, 10.0]
    assert base.spread([1.0, 1.0], 1.0) == [0.5, 1.5]
    assert base.spread([1.2, 1.0, 9.0], 1.0) == pytest.approx([1.6, 0.6, 9.0])
    assert base.spread([0.0, 0.1], 1.0, low=0.0, high=9.0) == pytest.approx([0.0, 1.0])
    rng = np.random.default_rng(0)
    placed = np.sort(base.spread(list(rng.random(12)), 0.2))
    assert (np.diff(placed) > 0.2 - 1e-9).all()


def test_a_method_has_one_colour_and_two_methods_never_the_same(root: Path) -> None:
    make_all(root)
    rows = [*summary_of(root, "baselines").rows, summary_of(root, "pairing").rows[0]]
    colours = [base.colour(row.cell) for row in rows]
    assert len(set(colours)) == 5
    assert base.colour_of("mvmae (structured)", "mvmae") == base.colour_of("", "mvmae") == colours[-1]
    assert base.colour_of("mae (unstructured)", "mae") == base.colour_of("", "mae") == colours[0]


def test_training_curves_take_the_last_word_and_survive_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.jsonl"
    lines = ['{"step": 20, "loss": 9.0}', '{"step": 40, "loss": null}', '{"step": 20, "loss": 1.0}', '{"step": 60, "lo']
    path.write_text("\n".join(lines))
    assert read_curve(path) == {20: 1.0}
    assert read_curve(tmp_path / "absent.jsonl") == {}
    steps, mean, low, high = over_seeds([{20: 1.0, 40: 3.0}, {20: 2.0, 60: 5.0}])
    assert (steps, mean, low, high) == ([20], [1.5], [1.0], [2.0])


def test_reconstructions_stand_frontal_then_lateral_and_white_where_there_is_no_view() -> None:
    images = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((3, 4, 4), np.uint8)
    arrays = {"input": images, "masked": images + 10, "output": images + 20}
    arrays |= {"view": np.array([1, 0, 0]), "study": np.array([1, 1, 0])}
    assert gallery.both_views(arrays) == [1, 0]
    line = gallery.strip(arrays, 1, gap=1)
    assert line[0, [0, 5, 10, 17, 22, 27]].tolist() == [1, 11, 21, 0, 10, 20]
    assert line[0, 4] == 255
    alone = gallery.strip(arrays, 0, gap=1)
    assert alone.shape == line.shape
    assert (alone[:, 14:] == 255).all()


def test_the_verb_prints_the_table_and_the_path(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_ablation(root, "pairing", [MadeCell("mvmae pairing=none")], SMALL, seeds=(0,))
    assert main(["report", "ablation=pairing", f"paths.root={root}", "--resamples", "100"]) == 0
    printed = capsys.readouterr().out
    assert "mvmae pairing=none" in printed
    assert f"report: {root / 'reports' / 'pairing' / 'report.md'}" in printed


def test_the_verb_says_what_to_run_first(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", f"paths.root={root}"]) == 2
    told = capsys.readouterr()
    assert "nothing was swept" in told.err
    assert "viewpair sweep" in told.err
    assert "Traceback" not in told.err
