"""The three formats say the same, and a hole, a tie or a single seed cannot be overlooked in any."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from analysis.collect import ResultReader, collect
from analysis.pages import ablation_page
from analysis.resample import BootstrapConfig
from analysis.summary import Bootstrap, Summary, summarise, with_references
from analysis.tables import (
    MARKDOWN,
    console,
    entry_text,
    escape_tex,
    grid,
    label_csv,
    label_latex,
    main_csv,
    main_latex,
    markdown,
)
from core.errors import UserError
from sweeps.declared import read_plan
from tests.analysis.factory import FRACTIONS, KEY, MadeCell, World, baselines, make_ablation, measure

SMALL = World(patients=40)


def summary_of(root: Path, name: str = "made") -> Summary:
    bootstrap = Bootstrap(BootstrapConfig(resamples=200))
    return summarise(collect(ResultReader(root), read_plan(root, name)), bootstrap)


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def lose(root: Path, trial: str) -> None:
    (root / "trials" / trial / "evaluations" / KEY / "result.json").unlink()


def balanced(latex: str) -> bool:
    """Whether environments and braces nest, escaped braces apart."""
    stack: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", latex):
        if kind == "begin":
            stack.append(name)
        elif not stack or stack.pop() != name:
            return False
    depth = 0
    for sign in re.findall(r"(?<!\\)[{}]", latex):
        depth += 1 if sign == "{" else -1
        if depth < 0:
            return False
    return not stack and depth == 0


def test_the_means_are_those_of_the_evaluations(root: Path) -> None:
    cells = [MadeCell("first"), *baselines()]
    make_ablation(root, "made", cells, SMALL, seeds=(0, 1))
    found = {row.cell.name: row for row in summary_of(root).rows}
    for cell in cells:
        for fraction in FRACTIONS:
            own = fraction if cell.evaluation == "head" else None
            values = []
            for seed in (0, 1):
                metrics, _ = measure(cell, seed, SMALL, own)
                wanted = (cell.evaluation, "macro_auroc", fraction)
                draws = [m.value for m in metrics if (m.evaluation, m.metric, m.label_fraction) == wanted]
                values.append(sum(draws) / len(draws))
            entry = found[cell.name].entries[f"macro_auroc_{fraction:g}"]
            assert entry.estimate.mean == pytest.approx(sum(values) / 2, abs=1e-6)
            assert entry.estimate.low < entry.estimate.mean < entry.estimate.high
            assert (entry.found, entry.declared, entry.labels) == (2, 2, 6)


def test_markdown_shows_the_numbers_of_the_csv(root: Path) -> None:
    make_ablation(root, "made", [MadeCell("first"), *baselines()], SMALL, seeds=(0, 1, 2))
    summary = summary_of(root)
    lines = markdown(grid(summary, MARKDOWN)).splitlines()[2:]
    rows = csv_rows(main_csv(summary))
    assert len(lines) == len(rows) == 5
    for line, row in zip(lines, rows, strict=True):
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        assert row["row"] in cells[0]
        for column, cell in zip(summary.columns, cells[1:-1], strict=True):
            names = [column.key] if column.metric else [column.key, f"{column.key}_low", f"{column.key}_high"]
            expected = [f"{float(row[name]):,.{column.digits}f}" for name in names]
            assert re.findall(r"[\d,]+(?:\.\d+)?(?=[^\d]|$)", cell.replace(", ", " ")) == expected


def test_best_and_ties_are_marked_in_every_format(root: Path) -> None:
    cells = [MadeCell("best", strength=1.6), MadeCell("tie", strength=1.58), MadeCell("worse", strength=0.6)]
    make_ablation(root, "made", cells, World(patients=80), seeds=(0, 1, 2))
    summary = summary_of(root)
    marks = {row.cell.name: row.entries["macro_auroc_1"].mark for row in summary.rows}
    assert sorted(marks.values()) == ["", "best", "tie"]
    assert marks["worse"] == ""
    table = {line[0]: line[3] for line in grid(summary, MARKDOWN)}
    latex = main_latex(summary, "")
    for name, mark in marks.items():
        assert table[name].startswith("**") == (mark == "best")
        assert table[name].endswith("≈") == (mark == "tie")
        line = next(line for line in latex.splitlines() if line.startswith(name)).split(" & ")[3]
        assert line.startswith(r"\textbf{0.") == (mark == "best")
        assert line.endswith(r"$\approx$") == (mark == "tie")
    assert [row["macro_auroc_1_mark"] for row in csv_rows(main_csv(summary))] == list(marks.values())


def test_holes_are_visible_in_every_format_and_win_nothing(root: Path) -> None:
    cells = [MadeCell("part", strength=2.0), MadeCell("gone"), MadeCell("whole", strength=1.0)]
    ids = make_ablation(root, "made", cells, SMALL)
    for trial in [ids["part"][1], *ids["gone"]]:
        lose(root, trial)
    summary = summary_of(root)
    page = ablation_page(summary, [])
    rows = csv_rows(main_csv(summary))
    for text in (page.text, main_latex(summary, page.caption), main_csv(summary), console(summary)):
        assert "hole (2 of 3 seeds)" in text
        assert "hole (0 of 3 seeds)" in text
    assert "**Holes (4)**" in page.table
    assert f"gone, seed 2, trial {ids['gone'][2]}: done, but not evaluated" in page.table
    assert [row["macro_auroc_1_mark"] for row in rows] == ["", "", "best"]
    assert rows[1]["macro_auroc_1"] == ""
    assert rows[1]["seconds_hole"] == "hole (0 of 3 seeds)"
    assert {row["hole"] for row in csv_rows(label_csv(summary)) if row["row"] == "gone"} == {"hole (0 of 3 seeds)"}


def test_a_table_of_holes_alone_can_be_printed(root: Path) -> None:
    ids = make_ablation(root, "made", [MadeCell("only")], SMALL, seeds=(0, 1))
    for trial in ids["only"]:
        lose(root, trial)
    summary = summary_of(root)
    assert "hole (0 of 2 seeds)" in console(summary)
    assert "no result yet" in ablation_page(summary, []).text


def test_one_seed_says_patients_only(root: Path) -> None:
    make_ablation(root, "made", [MadeCell("first")], SMALL, seeds=(3,))
    summary = summary_of(root)
    page = ablation_page(summary, [])
    assert "| 1 (patients only) |" in page.table
    assert "interval over patients only" in page.table
    assert "1 (patients only)" in main_latex(summary, page.caption)
    assert csv_rows(main_csv(summary))[0]["macro_auroc_1_interval_over"] == "patients"


def test_two_seeds_are_warned_of_and_three_are_not(root: Path) -> None:
    make_ablation(root, "two", [MadeCell("a")], SMALL, seeds=(0, 1))
    make_ablation(root, "three", [MadeCell("a")], SMALL, seeds=(0, 1, 2))
    assert "fewer than three seeds" in ablation_page(summary_of(root, "two"), []).table
    assert "fewer than three seeds" not in ablation_page(summary_of(root, "three"), []).table


def test_latex_is_balanced_and_escaped(root: Path) -> None:
    cells = [MadeCell("mvmae a_b=50% & {x} #1 $ ~^\\"), MadeCell("other", role="baseline")]
    make_ablation(root, "made_up", cells, SMALL, seeds=(0, 1), title="100 % of _it_")
    summary = summary_of(root, "made_up")
    page = ablation_page(summary, [])
    for latex in (main_latex(summary, page.caption), label_latex(summary, page.label_caption)):
        assert balanced(latex)
        assert r"a\_b=50\% \& \{x\} \#1 \$ \textasciitilde{}\textasciicircum{}\textbackslash{}" in latex
        body = [line for line in latex.splitlines() if line.endswith(r"\\")]
        columns = {len(re.findall(r"(?<!\\)&", line)) for line in body}
        spec = re.search(r"begin\{tabular\}\{l((?:r|S\[table-format=\d+\.\d+\])+)\}", latex)
        assert spec
        assert columns == {len(re.findall(r"S\[[^]]*\]|r", spec[1]))}
    assert main_latex(summary, "").count(r"\midrule") == 2
    assert not balanced(r"\begin{a}\begin{b}\end{a}\end{b}")
    assert escape_tex("a_b") == r"a\_b"


def test_labels_have_their_counts_and_the_evaluations_ap(root: Path) -> None:
    make_ablation(root, "made", [MadeCell("first")], SMALL, seeds=(0, 1))
    truth = SMALL.studies()[2]
    rows = csv_rows(label_csv(summary_of(root)))
    assert [row["label"] for row in rows] == list(SMALL.labels)
    assert [int(row["n_positive"]) for row in rows] == truth.sum(axis=0).astype(int).tolist()
    metrics = [m for seed in (0, 1) for m in measure(MadeCell("first"), seed, SMALL, None)[0]]
    for row in rows:
        for name in ("ap", "auroc"):
            wanted = ("probe", name, row["label"], 1.0)
            values = [m.value for m in metrics if (m.evaluation, m.metric, m.label, m.label_fraction) == wanted]
            assert len(values) == 2
            assert float(row[name]) == pytest.approx(sum(values) / 2, abs=2e-6)


def test_a_label_without_positives_is_named_and_left_out(root: Path) -> None:
    class Healthy(World):
        def studies(self):  # type: ignore[no-untyped-def]
            ids, patients, truth, noise = super().studies()
            truth[:, 2] = 0
            return ids, patients, truth, noise

    make_ablation(root, "made", [MadeCell("first")], Healthy(patients=30), seeds=(0, 1))
    summary = summary_of(root)
    assert summary.rows[0].entries["macro_auroc_1"].labels == 5
    assert entry_text(summary.rows[0].labels["Edema"], 3, MARKDOWN) == "undefined"
    assert "one class only among the test studies: Edema" in ablation_page(summary, []).table


def test_references_are_the_baselines_that_a_table_does_not_hold_itself(root: Path) -> None:
    same = MadeCell("MAE", "mae", role="baseline")
    make_ablation(root, "baselines", [same, MadeCell("VICReg", "vicreg", role="baseline")], SMALL, seeds=(0, 1))
    make_ablation(root, "made", [MadeCell("cell"), same], SMALL, seeds=(0, 1))
    made, reference = summary_of(root), summary_of(root, "baselines")
    assert [row.cell.name for row in with_references(made, reference).references] == ["VICReg"]
    make_ablation(root, "unlike", [MadeCell("cell 2")], World(patients=41), seeds=(0, 1))
    assert with_references(summary_of(root, "unlike"), reference).references == ()


def test_an_unknown_figure_is_refused(root: Path) -> None:
    from analysis.plots import base

    make_ablation(root, "made", [MadeCell("first")], SMALL, seeds=(0,))
    with pytest.raises(UserError, match=r"no figure 'cruve'(.|\n)*curve"):
        base.draw("cruve", summary_of(root))
