"""Tables of evaluations with files of their own: means as measured, intervals that a brute-force bootstrap gives."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.collect import ResultReader, collect
from analysis.findings import find
from analysis.kinds import leakage as leakage_table
from analysis.kinds.base import kind_names, tables, unit_means
from analysis.plots import base, embedding, saliency
from analysis.report import EVALUATED, write_or_remove
from analysis.resample import BootstrapConfig, patient_weights
from analysis.sections import FINDINGS_FILES, csv_files, markdown_section, sections
from analysis.summary import Bootstrap, Summary, summarise
from core.evaluation.predictions import packed
from core.io import read_json, sha256_file, write_bytes, write_json
from sweeps.declared import read_plan
from tests.analysis.factory import KEY, MadeCell, World, key_rng, make_ablation

SMALL = World(patients=30, labels=("Edema", "Pneumothorax"))
CONFIG = BootstrapConfig(resamples=200)
SITES = ("hill", "north", "ward")


def add_file(root: Path, trial: str, name: str, data: bytes, metrics: tuple[dict[str, Any], ...] = ()) -> None:
    """Put a file beside a made result, as an evaluation that wrote one would."""
    folder = root / "trials" / trial / "evaluations" / KEY
    write_bytes(folder / name, data)
    result = read_json(folder / "result.json")
    result["files"][name] = {"bytes": len(data), "sha256": sha256_file(folder / name)}
    usual = {"label": "", "label_fraction": None, "draw": 0, "view": "study", "n_positive": -1, "n": 30}
    result["metrics"] += [usual | metric for metric in metrics]
    write_json(folder / "result.json", result)


def units(seed: int, good: float) -> pd.DataFrame:
    """Dice and IoU of films of 12 patients and two labels, about `good`."""
    rng = key_rng("units", seed, good)
    patient = np.repeat(np.arange(12), 3)
    rows = []
    for metric in ("dice_linear", "iou_linear"):
        for label in ("Edema", "Fracture"):
            value = np.clip(good + 0.1 * rng.normal(size=36), 0, 1)
            rows.append(pd.DataFrame({"metric": metric, "label": label, "study_id": [f"s{i}" for i in range(36)],
                                      "patient_id": [f"p{p}" for p in patient], "value": value}))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def site_predictions(seed: int, strength: float) -> pd.DataFrame:
    """Site probabilities of 60 studies of 20 patients; the greater `strength`, the more often right."""
    rng = key_rng("sites", seed, strength)
    patient = np.repeat(np.arange(20), 3)
    truth = key_rng("truth").integers(0, 3, 20)[patient]
    score = rng.normal(size=(60, 3)) + strength * np.eye(3)[truth]
    frame = pd.DataFrame({"evaluation": "leakage", "label_fraction": 1.0, "draw": 0, "view": "study"}, index=range(60))
    frame["study_id"], frame["patient_id"] = [f"s{i:02d}" for i in range(60)], [f"p{p:02d}" for p in patient]
    for place, site in enumerate(SITES):
        frame[f"p:{site}"] = 1 / (1 + np.exp(-score[:, place]))
        frame[f"y:{site}"] = (truth == place).astype(float)
    return frame


@pytest.fixture
def made(root: Path) -> dict[str, list[str]]:
    """Two rows with both files, one of them of one seed only."""
    ids = make_ablation(root, "made", [MadeCell("first"), MadeCell("second"), MadeCell("none")], SMALL, seeds=(0, 1))
    for name, good in (("first", 0.8), ("second", 0.4)):
        for seed, trial in enumerate(ids[name]):
            chance = ({"evaluation": "leakage", "metric": "site_chance", "value": 0.4},)
            add_file(root, trial, "leakage.parquet", packed(site_predictions(seed, 3 * good)), chance)
            if (name, seed) != ("second", 1):
                add_file(root, trial, "segmentation.parquet", packed(units(seed, good)))
    return ids


def summary_of(root: Path) -> Summary:
    return summarise(collect(ResultReader(root), read_plan(root, "made")), Bootstrap(CONFIG))


def test_unit_means_are_those_of_a_data_set_in_which_patients_stand_as_often_as_drawn() -> None:
    frame = units(0, 0.5).query("metric == 'dice_linear'").iloc[:60]
    found = unit_means(frame, CONFIG)["dice_linear"]
    names = np.unique(frame["patient_id"])
    weights = patient_weights(len(names), CONFIG)
    for place in (0, 1, 57):
        drawn = np.repeat(names, weights[:, place].astype(int))
        copies = pd.concat([frame[frame["patient_id"] == name] for name in drawn])
        assert found[place] == pytest.approx(copies.groupby("label")["value"].mean().mean(), rel=1e-9)


def test_site_accuracy_is_counted_over_studies_and_balanced_over_sites() -> None:
    frame = site_predictions(0, 1.5)
    found = leakage_table.measure(frame, CONFIG)
    truth = frame[[f"y:{s}" for s in SITES]].to_numpy().argmax(1)
    right = frame[[f"p:{s}" for s in SITES]].to_numpy().argmax(1) == truth
    assert found["site_accuracy"][0] == pytest.approx(right.mean())
    assert found["site_balanced_accuracy"][0] == pytest.approx(np.mean([right[truth == s].mean() for s in range(3)]))
    assert found["site_auroc"].shape == (1 + CONFIG.resamples,)


def test_transfer_stands_beside_home_and_names_what_the_target_lacks(root: Path) -> None:
    ids = make_ablation(root, "made", [MadeCell("only")], SMALL, seeds=(0, 1))
    noted = {"evaluation": "transfer", "metric": "auroc", "value": None, "view": "target", "n": 0, "label": "Hernia"}
    for seed, trial in enumerate(ids["only"]):
        for file, strength in (("transfer.parquet", 0.5), ("transfer_home.parquet", 3.0)):
            add_file(root, trial, file, packed(site_predictions(seed, strength)), (noted,))
    (found,) = tables(summary_of(root))
    (row,) = found.rows
    away, home = (row.estimates[f"{place}_macro_auroc"] for place in ("target", "home"))
    assert away.low < 0.6 < home.low <= home.mean
    assert any("Hernia" in note for note in found.notes)


@pytest.mark.usefixtures("made")
def test_rows_stand_with_their_means_intervals_marks_and_missing_seeds(root: Path) -> None:
    found = {table.name: table for table in tables(summary_of(root))}
    assert set(found) == {"leakage", "segmentation"}
    first, second = found["segmentation"].rows
    assert [row.row for row in (first, second)] == ["first", "second"]
    frames = [units(seed, 0.8).query("metric == 'dice_linear'") for seed in (0, 1)]
    expected = np.mean([frame.groupby("label")["value"].mean().mean() for frame in frames])
    value = first.estimates["dice_linear"]
    assert value.mean == pytest.approx(expected)
    assert value.low < value.mean < value.high
    assert (first.marks["dice_linear"], second.marks["dice_linear"]) == ("best", "")
    assert (second.found, second.declared) == (1, 2)
    leaky, tight = found["leakage"].rows
    assert leaky.estimates["site_accuracy"].mean > tight.estimates["site_accuracy"].mean > 0.3
    main = next(row for row in summary_of(root).rows if row.cell.name == "first").entries["macro_auroc_1"]
    assert leaky.estimates["macro_auroc"].mean == pytest.approx(main.estimate.mean)


def test_the_report_holds_both_tables_and_forgets_one_that_is_no_longer_there(
    root: Path, made: dict[str, list[str]]
) -> None:
    folder, summary = root / "reports" / "made", summary_of(root)
    findings = find(summary, root)
    write_or_remove(dict.fromkeys(FINDINGS_FILES) | csv_files(findings), folder)
    text = "\n".join(map(markdown_section, sections(summary, findings)))
    for words in ("## Site leakage", "## Segmentation", "(segmentation.csv)", "1 of 2", "right for 0.400"):
        assert words in text
    lines = list(csv.DictReader(io.StringIO((folder / "segmentation.csv").read_text())))
    assert [line["row"] for line in lines] == ["first", "second"]
    assert float(lines[0]["dice_linear_low"]) < float(lines[0]["dice_linear"])
    for trial in (*made["first"], *made["second"]):
        (root / "trials" / trial / "evaluations" / KEY / "segmentation.parquet").write_bytes(b"damaged")
    findings = find(summary_of(root), root)
    write_or_remove(dict.fromkeys(FINDINGS_FILES) | csv_files(findings), folder)
    assert not (folder / "segmentation.csv").exists()
    assert (folder / "leakage.csv").exists()


def test_without_such_files_nothing_is_said(root: Path) -> None:
    make_ablation(root, "made", [MadeCell("only")], SMALL, seeds=(0,))
    findings = find(summary_of(root), root)
    assert findings.kinds == ()
    assert not set(csv_files(findings)) & {f"{name}.csv" for name in kind_names()}
    assert not any("leakage" in section.name for section in sections(summary_of(root), findings))


def arrays_of(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def test_figures_of_maps_stand_in_the_report_with_the_same_bytes_twice(root: Path) -> None:
    ids = make_ablation(root, "made", [MadeCell("first")], SMALL, seeds=(0,))
    rng = np.random.default_rng(0)
    view, study = np.array([0, 1, 0]), np.array([0, 0, 1])
    for trial in ids["first"]:
        points = {
            "pca": rng.normal(size=(20, 2)),
            "site": np.array(["hill", "ward"] * 10),
            "labels": np.array(["A", "B"]),
        }
        truth = np.stack([np.arange(20) % 2, np.zeros(20)], axis=1)
        add_file(root, trial, "embedding.npz", arrays_of(**points, view=np.arange(20) % 2, truth=truth))
        films = {"image": rng.integers(0, 255, (3, 8, 8), np.uint8), "map": rng.integers(0, 255, (3, 8, 8), np.uint8)}
        boxes = {"box": np.array([[1.0, 2.0, 4.0, 6.0]]), "box_image": np.array([1])}
        names = np.array(["Edema", "Edema", "Fracture"])
        add_file(root, trial, "saliency.npz", arrays_of(**films, **boxes, view=view, study=study, label=names))
        chance = ({"evaluation": "leakage", "metric": "site_chance", "value": 0.4},)
        add_file(root, trial, "leakage.parquet", packed(site_predictions(0, 2.0)), chance)
    folders, wanted = [root / "first", root / "again"], list(EVALUATED)
    with base.look():
        drawn = [list(base.draw_all(summary_of(root), wanted, folder)) for folder in folders]
    assert [figure.name for figure in drawn[0]] == ["leakage", "embedding", "saliency"]
    first, again = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders)
    assert first == again
    leak, maps, films = (figure.figure for figure in drawn[0])
    assert leak.axes[0].get_xlabel() == "Accuracy of a linear probe of the site"
    titles = [panel.get_title(loc="left") for panel in maps.axes]
    assert titles == ["View", "Site", "A"]
    assert [panel.get_title(loc="left") for panel in films.axes[:4:2]] == ["Edema", "Fracture"]
    (outline,) = films.axes[1].get_lines()
    assert set(outline.get_xdata()) == {1, 4}


def test_a_map_is_coloured_by_the_most_even_label_and_red_where_it_is_hot() -> None:
    truth = np.array([[1, 0, np.nan], [0, 0, np.nan], [0, 0, 1], [1, 1, 0]])
    assert embedding.most_even(truth) == 0
    assert embedding.most_even(np.zeros((4, 2))) is None
    shown = saliency.overlay(np.full((1, 2), 128, np.uint8), np.array([[0.0, 1.0]]))
    assert shown[0, 0].tolist() == pytest.approx([128 / 255] * 3)
    assert shown[0, 1, 0] > shown[0, 1, 1]
