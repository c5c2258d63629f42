"""Many trials: the ledger reads them in parts, in order; the benchmark measures what it says. Times are not judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import results
from core.compose import compose, to_trial
from core.errors import DataError
from core.results import PREDICTIONS
from core.seal import RESULT, SEAL
from sweeps.bench_ledger import bench_ledger, finished_trials, status
from sweeps.folders import trial_folder
from sweeps.ledger import CHUNK, read_ledger


def test_of_many_trials_each_line_is_its_own(tmp_path: Path) -> None:
    keys = finished_trials(tmp_path, to_trial(compose([])), 2 * CHUNK + 7)
    lost = {trial: number % 3 for number, trial in enumerate(keys) if number % 11 == 0}
    for trial, how in lost.items():
        folder = trial_folder(tmp_path, trial) / "evaluations" / keys[trial]
        (folder / (RESULT, PREDICTIONS, RESULT)[how]).write_bytes(b"{")
    unsealed = next(trial for trial in keys if trial not in lost)
    (trial_folder(tmp_path, unsealed) / "evaluations" / keys[unsealed] / SEAL).unlink()
    lines = read_ledger(tmp_path, keys)
    assert [line.trial for line in lines] == list(keys)
    assert {line.trial for line in lines if line.state != "done"} == lost.keys()
    assert f"{len(keys) - len(lost)} done" in status(tmp_path)


def test_a_sealed_result_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unread(_: Path) -> None:
        raise DataError("read in full")

    keys = finished_trials(tmp_path, to_trial(compose([])), 3)
    monkeypatch.setattr(results, "read_result", unread)
    assert {line.state for line in read_ledger(tmp_path, keys)} == {"done"}
    (trial_folder(tmp_path, next(iter(keys))) / "evaluations" / keys[next(iter(keys))] / SEAL).unlink()
    assert [line.state for line in read_ledger(tmp_path, keys)] == ["pending", "done", "done"]


def test_rows_of_the_benchmark_and_nothing_left(tmp_path: Path) -> None:
    rows = bench_ledger(to_trial(compose([f"paths.root={tmp_path}"])), 20, 2)
    assert [row["way"] for row in rows] == ["ledger", "viewpair status", "every result read in full"]
    assert rows[-1]["ratio"] == 1.0
    assert all(row["ms_per_1000"] > 0 for row in rows)
    assert not list(tmp_path.iterdir())
