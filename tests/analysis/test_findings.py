"""What a report says beyond its main table: comparisons, quality, subgroups, published numbers."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from analysis.collect import ResultReader, collect
from analysis.comparisons import compare, compare_labels, reference_of
from analysis.findings import find, quality
from analysis.published import read_published
from analysis.resample import BootstrapConfig
from analysis.sections import csv_files, markdown_section, sections
from analysis.subgroups import age_bands, subgroup_results
from analysis.summary import Bootstrap, Summary, summarise
from core.errors import DataError
from core.io import write_json
from sweeps.ablation import available
from sweeps.declared import read_plan
from tests.analysis.factory import MadeCell, World, make_ablation, predict
from tests.analysis.test_delong import independent

WORLD = World(patients=60, labels=("Edema", "Fracture", "Pneumothorax"))
CELLS = [
    MadeCell("mvmae pairing=a", values={"pairing": "a"}, strength=1.6),
    MadeCell("mvmae pairing=b", values={"pairing": "b"}, strength=1.0),
    MadeCell("floor", "mae", role="baseline", strength=0.4),
]
SEEDS = (0, 1, 2)


def summary_of(root: Path, seeds: tuple[int, ...] = SEEDS, name: str = "made") -> Summary:
    make_ablation(root, name, CELLS, WORLD, seeds=seeds, axes={"pairing": ["a", "b"]})
    return summarise(collect(ResultReader(root), read_plan(root, name)), Bootstrap(BootstrapConfig(500)))


def scores(cell: MadeCell, seed: int) -> np.ndarray:
    return predict(cell, seed, WORLD, 1.0, 0).astype(float)


def aurocs(cell: MadeCell, seed: int) -> list[float]:
    truth = WORLD.studies()[2]
    return [float(roc_auc_score(truth[:, i], scores(cell, seed)[:, i])) for i in range(3)]


def test_rows_are_held_against_the_first_baseline(root: Path) -> None:
    summary = summary_of(root)
    reference = reference_of(summary)
    assert reference is not None
    assert reference.cell.name == "floor"
    found = {c.row: c for c in compare(summary)}
    assert list(found) == ["mvmae pairing=a", "mvmae pairing=b"]
    for cell in CELLS[:2]:
        by_seed = [np.mean(aurocs(cell, s)) - np.mean(aurocs(CELLS[2], s)) for s in SEEDS]
        comparison = found[cell.name]
        assert comparison.difference.mean == pytest.approx(np.mean(by_seed), abs=1e-6)
        assert comparison.effect == pytest.approx(np.mean(by_seed) / np.std(by_seed, ddof=1), rel=1e-3)
        assert comparison.adjusted >= comparison.p
        wins = [a > b for s in SEEDS for t in SEEDS for a, b in zip(aurocs(cell, s), aurocs(CELLS[2], t), strict=True)]
        assert comparison.improvement.mean == pytest.approx(np.mean(wins))


def test_labels_are_compared_by_delongs_test(root: Path) -> None:
    found = compare_labels(summary_of(root, seeds=(0,)))
    assert len(found) == 6
    truth = WORLD.studies()[2]
    edema = next(c for c in found if c.row == "mvmae pairing=b" and c.label == "Edema")
    difference, error, _ = independent(truth[:, 0], scores(CELLS[1], 0)[:, 0], scores(CELLS[2], 0)[:, 0])
    assert edema.difference == pytest.approx(difference)
    # Studies of one patient share nothing in this made data set, so clustering changes little.
    assert edema.error == pytest.approx(error, rel=0.25)
    assert edema.p <= edema.adjusted


def test_quality_has_the_metrics_of_scikit_learn(root: Path) -> None:
    found = {q.row: q for q in quality(summary_of(root))}
    truth = WORLD.studies()[2]
    for cell in CELLS:
        every = np.sort([a for s in SEEDS for a in aurocs(cell, s)])
        ap = np.mean([average_precision_score(truth[:, i], scores(cell, s)[:, i]) for s in SEEDS for i in range(3)])
        assert found[cell.name].ap == pytest.approx(ap, abs=1e-6)
        assert found[cell.name].interquartile.mean == pytest.approx(every[2:-2].mean(), abs=1e-6)
        assert 0 < found[cell.name].calibration_error < 1
        assert found[cell.name].brier == pytest.approx(
            np.mean([np.mean((scores(cell, s) - truth) ** 2) for s in SEEDS]), abs=1e-6
        )


def study_table(root: Path, fingerprint: str = WORLD.fingerprint) -> pd.DataFrame:
    """Leave a data set's study table on disk, with sites and ages."""
    ids = WORLD.studies()[0]
    table = pd.DataFrame({"study_id": ids, "site": np.where(np.arange(len(ids)) % 3, "hill", "ward")})
    table["age"] = np.where(np.arange(len(ids)) < len(ids) // 2, 30.0, 65.0)
    folder = root / "data" / "phantom-1"
    folder.mkdir(parents=True, exist_ok=True)
    # Studies stand there in another order, and with those of other splits.
    pd.concat([table, table.assign(study_id="other " + table["study_id"])]).sample(frac=1, random_state=0).to_parquet(
        folder / "studies.parquet"
    )
    write_json(folder / "index.json", {"fingerprint": fingerprint})
    return table


def test_subgroups_are_those_studies_alone(root: Path) -> None:
    summary = summary_of(root)
    assert subgroup_results(summary, root) == []
    table = study_table(root)
    found = {(g.by, g.name, g.row): g for g in subgroup_results(summary, root)}
    assert {key[:2] for key in found} == {("site", "hill"), ("site", "ward"), ("age", "below 40"), ("age", "60 to 79")}
    truth = WORLD.studies()[2]
    for by, name, chosen in (("site", "ward", table["site"] == "ward"), ("age", "60 to 79", table["age"] == 65)):
        rows = np.flatnonzero(chosen)
        group = found[by, name, "floor"]
        per_label = [
            roc_auc_score(truth[rows, i], scores(CELLS[2], s)[rows, i])
            for s in SEEDS
            for i in range(3)
            if 0 < truth[rows, i].sum() < len(rows)
        ]
        assert group.n_studies == len(rows)
        assert group.estimate.mean == pytest.approx(np.mean(per_label), abs=1e-6)
        assert group.estimate.low < group.estimate.mean < group.estimate.high
    study_table(root, "another data set")
    assert subgroup_results(summary, root) == []


def test_age_bands() -> None:
    ages = pd.Series([12, 39.9, 40, 79, 80, 101, None, "x"], dtype=object)
    expected = ["below 40", "below 40", "40 to 59", "60 to 79", "80 and older", "80 and older", "", ""]
    assert list(age_bands(ages)) == expected


def test_published_numbers_are_marked_and_every_one_has_a_source(root: Path) -> None:
    published = read_published()
    assert all(entry.source for entry in published)
    assert {entry.ablation for entry in published} - set(available()) <= {"", "curation"}
    known = {entry.value for entry in published if entry.ablation == "baselines"}
    assert {0.823, 0.830, 0.822, 0.796} <= known
    summary = summary_of(root, name="baselines")
    text = "\n".join(map(markdown_section, sections(summary, find(summary, root))))
    assert "not our measurement" in text
    assert "| MAE ViT-B/16 |" in text
    assert "| not known |" in text


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (",,MAE,x,AUROC,0.8,", "line 2: source is empty"),
        (",paper,MAE,x,AUROC,much,", "line 2: could not convert"),
        (",paper,MAE,x,AUROC", "line 2: it has another number"),
    ],
)
def test_a_published_number_without_a_source_or_value_is_refused(tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "a.csv").write_text(f"ablation,source,method,setting,metric,value,note\n{line}\n")
    with pytest.raises(DataError, match=told):
        read_published(tmp_path)
    (tmp_path / "a.csv").write_text("method,value\n")
    with pytest.raises(DataError, match="its columns are"):
        read_published(tmp_path)


def test_the_files_say_what_the_page_says(root: Path) -> None:
    study_table(root)
    summary = summary_of(root)
    found = find(summary, root)
    text = "\n".join(map(markdown_section, sections(summary, found)))
    files = {name: list(csv.DictReader(io.StringIO(content))) for name, content in csv_files(found).items()}
    assert set(files) == {"comparisons.csv", "label_comparisons.csv", "quality.csv", "efficiency.csv", "subgroups.csv"}
    for line in files["comparisons.csv"]:
        assert f"{float(line['difference']):+.3f}" in text
    for line in [*files["quality.csv"], *files["subgroups.csv"]]:
        assert line["row"] in text
    assert all(math.isfinite(float(line["p_holm"])) for line in files["label_comparisons.csv"])
    assert "## Claims" not in text
