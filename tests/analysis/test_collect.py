"""What is read from disk: nothing is dropped silently, and unlike results do not meet in one table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.collect import Collected, ResultReader, collect
from analysis.pages import hole_line
from analysis.resample import TestStudies
from analysis.scores import ScoreReader, TrialScores, UnlikeStudiesError
from core.compose import compose, to_trial
from core.data.store import StudyStore, StudyTable
from core.data.types import Bytes, Ints
from core.errors import DataError, UserError
from core.evaluation.base import Evaluated
from core.io import read_json, write_json
from core.results import write_result
from sweeps.declared import choose, read_plan
from sweeps.status import Status, write_status
from tests.analysis.factory import KEY, MadeCell, World, make_ablation, measure, predict, write_trial

SMALL = World(patients=30)
PAIR = [MadeCell("first"), MadeCell("second")]


def collected(root: Path, name: str = "made") -> Collected:
    return collect(ResultReader(root), read_plan(root, name))


def result_folder(root: Path, trial: str) -> Path:
    return root / "trials" / trial / "evaluations" / KEY


def test_every_metric_of_every_trial_is_in_the_table(root: Path) -> None:
    ids = make_ablation(root, "made", PAIR, SMALL, seeds=(0, 1))
    found = collected(root)
    assert not found.holes
    assert sorted(found.table["trial"].unique()) == sorted(ids["first"] + ids["second"])
    own = found.table[(found.table["trial"] == ids["second"][1]) & (found.table["evaluation"] != "cost")]
    metrics, _ = measure(PAIR[1], 1, SMALL, None)
    assert len(own) == len(metrics)
    macro = own[(own["metric"] == "macro_auroc") & (own["label_fraction"] == 0.1) & (own["draw"] == 2)]
    expected = [m.value for m in metrics if (m.metric, m.label_fraction, m.draw) == ("macro_auroc", 0.1, 2)]
    assert macro["value"].tolist() == expected
    assert set(found.table[found.table["evaluation"] == "cost"]["metric"]) >= {"seconds", "images_per_second"}


def read_scores(predictions: pd.DataFrame) -> tuple[TestStudies, TrialScores]:
    return ScoreReader().read(pa.Table.from_pandas(predictions))


def test_scores_follow_the_studies_whatever_the_order_of_the_rows() -> None:
    _, predictions = measure(PAIR[0], 0, SMALL, None)
    studies, scores = read_scores(predictions)
    shuffled, again = read_scores(predictions.sample(frac=1, random_state=1))
    assert shuffled.same_as(studies)
    assert all((again[key] == scores[key]).all() for key in scores)
    place = list(SMALL.studies()[0]).index(studies.study_ids[7])
    assert scores[("probe", 0.1)][2, 7].tolist() == predict(PAIR[0], 0, SMALL, 0.1, 2)[place].tolist()


def altered(predictions: pd.DataFrame, column: str) -> pd.DataFrame:
    """The same with another value in one column wherever one study stands: its patient becomes another's."""
    other = predictions.copy()
    old, last = other[column].iloc[[0, -1]]
    new = last if column == "patient_id" else f"{old}~" if isinstance(old, str) else 1 - old
    other.loc[other["study_id"] == other["study_id"].iloc[0], column] = new
    return other


def test_a_file_is_read_alike_whatever_was_read_before_it(tmp_path: Path) -> None:
    _, first = measure(PAIR[0], 0, SMALL, None)
    _, second = measure(PAIR[1], 1, SMALL, None)
    others = [altered(second, name) for name in ("study_id", "patient_id", "y:Edema", "draw", "view")]
    kinds = [first, second, *others, first.sample(frac=1, random_state=1), second.head(len(second) // 2), second]
    reader = ScoreReader()
    for place, predictions in enumerate(kinds):
        path = tmp_path / f"{place}.parquet"
        # More rows than a group holds, so that a column is cut up.
        predictions.to_parquet(path, index=False, row_group_size=100)
        try:
            expected = read_scores(predictions)
        except UnlikeStudiesError:
            with pytest.raises(UnlikeStudiesError):
                reader.read_file(path)
            continue
        studies, scores = reader.read_file(path)
        assert studies.same_as(expected[0])
        assert scores.keys() == expected[1].keys()
        assert all((scores[key] == expected[1][key]).all() for key in scores)


def test_what_two_files_have_alike_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = pq.ParquetFile.read

    def read(file: pq.ParquetFile, columns: list[str] | None = None, **options: bool) -> pa.Table:
        asked.append(columns and sorted(columns))
        return real(file, columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "read", read)
    reader = ScoreReader()
    for place, cell in enumerate(PAIR):
        measure(cell, place, SMALL, None)[1].to_parquet(tmp_path / "p.parquet", index=False)
        reader.read_file(tmp_path / "p.parquet")
    assert asked == [None, sorted(f"p:{label}" for label in SMALL.labels)]


def test_each_kind_of_missing_result_is_a_hole_with_its_reason(root: Path) -> None:
    ids = make_ablation(root, "made", PAIR, SMALL, seeds=(0, 1, 2))
    never, failed, running = ids["first"]
    cut, damaged, old = ids["second"]
    for trial in (never, failed, running, old):
        (result_folder(root, trial) / "result.json").unlink()
    (root / "trials" / never / "status.json").unlink()
    write_status(root / "trials" / failed, Status("failed", "train", error="loss is nan at step 12"))
    write_status(root / "trials" / running, Status("running", "train", 5, 40))
    whole = (result_folder(root, cut) / "result.json").read_text()
    (result_folder(root, cut) / "result.json").write_text(whole[: len(whole) // 2])
    parquet = result_folder(root, damaged) / "predictions.parquet"
    parquet.write_bytes(parquet.read_bytes()[:-9])
    reasons = {hole.trial: hole.reason for hole in collected(root).holes}
    assert set(reasons) == {never, failed, running, cut, damaged, old}
    assert reasons[never] == "not started"
    assert reasons[failed] == "failed: loss is nan at step 12"
    assert reasons[running] == "not finished (train, step 5 of 40)"
    assert "result.json is not valid JSON" in reasons[cut]
    assert "predictions.parquet" in reasons[damaged]
    assert reasons[old] == "done, but not evaluated with these settings"


class NoPixels:
    """Pixels that nobody may ask for."""

    def read(self, rows: Ints) -> Bytes:
        raise AssertionError


def real_store(world: World) -> StudyStore:
    study_ids, patient_ids, truth, _ = world.studies()
    images = np.arange(len(study_ids))
    ids, views = images.astype(str), np.zeros(len(images), np.int64)
    start = np.arange(len(images) + 1)
    columns = (world.labels, study_ids, patient_ids, truth, start, ids, views, ids, NoPixels())
    splits = {name: StudyTable(name, *columns) for name in ("train", "validate", "test")}
    return StudyStore(world.name, world.fingerprint, 64, world.labels, splits)


def test_a_result_written_by_the_trainer_reads_as_a_made_one_does(root: Path) -> None:
    ids = make_ablation(root, "made", PAIR[:1], SMALL, seeds=(0, 1))
    config = to_trial(compose(["seed=1"]))
    metrics, predictions = measure(PAIR[0], 1, SMALL, None)
    folder = root / "trials" / ids["first"][1]
    write_json(folder / "cost.json", {"seconds": 12.5, "images_per_second": 800.0, "device": "cpu"})
    real = write_result(folder, config, real_store(SMALL), Evaluated(metrics, predictions))
    made = result_folder(root, ids["first"][1])
    for name in ("result.json", "predictions.parquet"):
        (real.parent / name).replace(made / name)
    found = collected(root)
    assert not found.holes
    own = found.table[found.table["trial"] == ids["first"][1]]
    assert own[own["metric"] == "seconds"]["value"].tolist() == [12.5]
    assert len(own) == len(metrics) + 2
    scores = found.results[ids["first"][1]].scores
    assert set(scores) == set(found.results[ids["first"][0]].scores)


def test_a_hole_says_the_same_wherever_the_results_lie(root: Path, tmp_path: Path) -> None:
    ids = make_ablation(root, "made", PAIR, SMALL, seeds=(0,))
    (result_folder(root, ids["first"][0]) / "result.json").write_text("{")
    moved = tmp_path / "elsewhere"
    root.rename(moved)
    assert str(tmp_path) not in collected(moved).holes[0].reason


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (replace(SMALL, fingerprint="0ddba11"), ("2 data sets", "phantom (0ddba11)", "phantom (5eed5eed5eed)")),
        (replace(SMALL, label_policy="ones"), ("2 label policies", "ones", "zeros")),
    ],
)
def test_unlike_results_are_refused_by_name(root: Path, other: World, told: tuple[str, ...]) -> None:
    ids = make_ablation(root, "made", PAIR, SMALL, seeds=(0, 1))
    write_trial(root, ids["second"][0], PAIR[1], 0, other)
    with pytest.raises(UserError) as error:
        collected(root)
    for text in (*told, ids["second"][0]):
        assert text in error.value.what


def test_predictions_of_other_studies_are_a_hole(root: Path) -> None:
    ids = make_ablation(root, "made", PAIR, SMALL, seeds=(0, 1))
    write_trial(root, ids["second"][1], PAIR[1], 1, replace(SMALL, seed=9))
    holes = collected(root).holes
    assert [hole.trial for hole in holes] == [ids["second"][1]]
    assert "other studies" in holes[0].reason


def test_a_value_of_an_axis_that_no_trial_has_is_a_hole(root: Path) -> None:
    cells = [MadeCell("a", values={"pairing": "a"}), MadeCell("floor", role="baseline")]
    make_ablation(root, "made", cells, SMALL, seeds=(0,), axes={"pairing": ["a", "b"]})
    holes = collected(root).holes
    assert [(hole.cell, hole.trial) for hole in holes] == [("pairing=b", "")]
    assert hole_line(holes[0]) == "pairing=b: no trial has this value"


def test_the_same_seed_declared_twice_counts_once(root: Path) -> None:
    ids = make_ablation(root, "made", PAIR, SMALL, seeds=(0, 1))
    path = root / "sweeps" / "made" / "plan.json"
    plan = read_json(path)
    plan["cells"][0]["trials"] *= 2
    write_json(path, plan)
    found = collected(root)
    assert [trial.id for trial in found.plan.cells[0].trials] == ids["first"]
    assert (
        found.table.duplicated(
            ["cell", "seed", "trial", "evaluation", "metric", "label", "label_fraction", "draw", "view"]
        ).sum()
        == 0
    )


def test_nothing_to_report_says_what_to_run(root: Path) -> None:
    with pytest.raises(UserError, match="viewpair sweep"):
        choose(root, None)
    make_ablation(root, "pairing", PAIR, SMALL, seeds=(0,))
    with pytest.raises(UserError, match=r"ablation=pairng has no plan(.|\n)*did you mean pairing"):
        choose(root, ["pairng"])
    assert choose(root, None) == ["pairing"]


def test_a_plan_that_lacks_a_field_is_named(root: Path) -> None:
    make_ablation(root, "made", PAIR, SMALL, seeds=(0,))
    path = root / "sweeps" / "made" / "plan.json"
    plan = read_json(path)
    del plan["cells"][0]["evaluation"]
    write_json(path, plan)
    with pytest.raises(DataError, match=r"plan.json: field 'evaluation'"):
        read_plan(root, "made")
    path.write_text(json.dumps(plan)[:40])
    with pytest.raises(DataError, match=r"plan.json is not valid JSON"):
        read_plan(root, "made")
