"""Results on disk: what is read is what was written, the same each time, and damage is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core import results
from core.data.types import View
from core.errors import DataError
from core.evaluation.base import Evaluated, Metric
from core.evaluation.evaluate import evaluate
from core.io import write_json


@pytest.fixture(autouse=True)
def _a_trial_without_a_reader(monkeypatch) -> None:
    """The trial's id hashes what its reader reads; these stores were made in memory."""
    monkeypatch.setattr(results, "trial_id", lambda config: f"{config.seed:016x}")


@pytest.fixture(scope="module")
def evaluated(make, store) -> Evaluated:
    """A real outcome, with an extra file."""
    found = evaluate(make.config(run=["probe", "rank", "head"]), store, make.method(), "cpu")
    return replace(found, files={"gallery.npz": b"\x00\x01pixels"})


def write(make, store, folder, evaluated):
    return results.write_result(folder, make.config(), store, evaluated)


def test_what_is_read_is_what_was_written(make, store, evaluated, tmp_path) -> None:
    write_json(tmp_path / "cost.json", {"seconds": 1.5, "pairs": {"frontal-lateral": 7}})
    path = write(make, store, tmp_path, evaluated)
    assert path == results.result_folder(tmp_path, make.config()) / "result.json"
    found = results.read_result(path.parent)
    assert repr(found.metrics) == repr(evaluated.metrics), "NaN comes back as NaN"
    assert all(type(a.value) is float for a in found.metrics)
    pd.testing.assert_frame_equal(found.predictions(), evaluated.predictions, check_exact=True, check_dtype=False)
    assert found.file("gallery.npz").read_bytes() == b"\x00\x01pixels"
    assert (found.trial, found.seed, found.label_policy) == (f"{3:016x}", 3, "zeros")
    assert found.cost == {"seconds": 1.5, "pairs": {"frontal-lateral": 7}}
    assert found.data["n_studies"] == {k: t.n_studies for k, t in store.splits.items()}
    assert found.data["fingerprint"] == store.fingerprint
    assert found.config["evaluation"]["probe"]["draws"] == 3
    assert found.skipped.keys() == {"head"}
    assert len(found.frame()) == len(found.metrics)


def test_the_same_outcome_gives_the_same_bytes(make, store, evaluated, tmp_path) -> None:
    first, second = (write(make, store, tmp_path / name, evaluated).parent for name in "ab")
    names = sorted(p.name for p in first.iterdir())
    assert names == ["done.json", "gallery.npz", "predictions.parquet", "result.json"]
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize("name", ["result.json", "predictions.parquet", "gallery.npz"])
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_file_cut_short_is_named(make, store, evaluated, tmp_path, name: str, keep: float) -> None:
    folder = write(make, store, tmp_path, evaluated).parent
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: int(keep * len(data))])
    with pytest.raises(DataError, match=name):
        results.read_result(folder)


def test_a_flipped_byte_in_the_predictions_is_noticed(make, store, evaluated, tmp_path) -> None:
    folder = write(make, store, tmp_path, evaluated).parent
    data = bytearray((folder / "predictions.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "predictions.parquet").write_bytes(data)
    with pytest.raises(DataError, match=r"predictions\.parquet"):
        results.read_result(folder).predictions()


def test_an_absent_result_and_another_schema_are_named(tmp_path) -> None:
    with pytest.raises(DataError, match=r"result\.json does not exist"):
        results.read_result(tmp_path)
    for content in ({"schema": 99}, [], {"schema": 1, "trial": "x"}):
        write_json(tmp_path / "result.json", content)
        with pytest.raises(DataError, match=r"result\.json"):
            results.read_result(tmp_path)


def test_a_write_that_fails_leaves_no_result_that_looks_whole(make, store, evaluated, tmp_path, monkeypatch) -> None:
    folder = write(make, store, tmp_path, evaluated).parent

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write(make, store, tmp_path, evaluated)
    with pytest.raises(DataError, match=r"result\.json does not exist"):
        results.read_result(folder)
    assert not list(folder.glob(".*")), "no temporary file is left behind"


def test_a_result_without_predictions(make, store, tmp_path) -> None:
    path = write(make, store, tmp_path, Evaluated([Metric("rank", "effective_rank", 3.0, 10)]))
    found = results.read_result(path.parent)
    assert found.cost == {}
    with pytest.raises(DataError, match=r"predictions\.parquet does not exist"):
        found.predictions()


def test_only_ids_of_the_manifest_and_labels_are_kept(make, store, evaluated) -> None:
    columns = {"evaluation", "label_fraction", "draw", "view", "study_id", "patient_id"}
    columns |= {f"{kind}:{label}" for kind in "py" for label in make.labels}
    assert set(evaluated.predictions) == columns
    table = store.splits["test"]
    owner = dict(zip(table.study_ids, table.patient_ids, strict=True))
    frame = evaluated.predictions
    assert (frame.patient_id == frame.study_id.map(owner)).all()
    lateral = frame[frame.view == "lateral"].study_id
    study = np.repeat(np.arange(table.n_studies), np.diff(table.start))
    assert set(lateral) == set(table.study_ids[study[table.view == View.LATERAL]])
