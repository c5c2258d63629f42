"""One trial in its folder, and the ledger that reads from disk where trials stand."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from core.config import TrialConfig
from core.errors import BusyError, NonFiniteLossError, UserError
from sweeps.declared import choose, declared_names, listed, read_plan
from sweeps.folders import trial_folder
from sweeps.lease import hold
from sweeps.ledger import Line, read_ledger, summary
from sweeps.plan import Plan, write_plan
from sweeps.show import show_status
from sweeps.status import Reporter, Status, read_status, write_status
from sweeps.trial import Report, run_trial
from tests.sweeps.fakes import compute, finish


@pytest.fixture
def first(plan: Plan) -> tuple[str, TrialConfig]:
    return next(iter(plan.trials().items()))


def line(plan: Plan, root: Path) -> Line:
    """Where the plan's first trial stands."""
    return read_ledger(root, dict.fromkeys(plan.trials(), plan.evaluation_key))[0]


def test_a_trial_runs_once_and_is_done(plan: Plan, first: tuple[str, TrialConfig], tmp_path: Path) -> None:
    trial, config = first
    assert line(plan, tmp_path) == Line(trial, "pending")
    assert run_trial(config, tmp_path, compute=compute)
    assert line(plan, tmp_path) == Line(trial, "done")
    assert run_trial(config, tmp_path, compute=compute)
    assert len(list((tmp_path / "ran").iterdir())) == 1


def test_a_cut_result_is_a_hole_that_the_next_run_fills(
    plan: Plan, first: tuple[str, TrialConfig], tmp_path: Path
) -> None:
    result = finish(first[1], tmp_path)
    whole = result.read_bytes()
    for cut in (b"", whole[:40], whole[: len(whole) // 2], whole.replace(b'"schema"', b'"scheme"')):
        result.write_bytes(cut)
        assert line(plan, tmp_path).state == "pending"
    assert run_trial(first[1], tmp_path, compute=compute)
    assert line(plan, tmp_path).state == "done"


def test_a_result_of_another_evaluation_is_no_result_of_this(first: tuple[str, TrialConfig], tmp_path: Path) -> None:
    run_trial(first[1], tmp_path, compute=compute)
    (other,) = read_ledger(tmp_path, {first[0]: "00000000"})
    assert other.state == "pending"
    assert "result for these settings is missing" in other.detail


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("the sky\nfell"), "RuntimeError: the sky fell"),
        (NonFiniteLossError("the loss of step 3 is not finite", "lower the rate"), "the loss of step 3 is not finite"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_a_failure_is_kept_with_its_reason_and_retried(
    plan: Plan, first: tuple[str, TrialConfig], tmp_path: Path, error: Exception, said: str
) -> None:
    def broken(_config: TrialConfig, _root: Path, report: Report) -> None:
        report.stage("train")
        raise error

    trial, config = first
    assert not run_trial(config, tmp_path, compute=broken)
    found = line(plan, tmp_path)
    folder = trial_folder(tmp_path, trial)
    assert found.state == "failed"
    assert said in found.detail
    assert str(folder / "log.txt") in found.detail
    assert "Traceback" in (folder / "error.txt").read_text()
    assert run_trial(config, tmp_path, compute=compute)
    assert line(plan, tmp_path) == Line(trial, "done")
    assert not (folder / "error.txt").exists()


def test_running_shows_step_and_time_left_and_interrupted_once_its_owner_is_gone(
    plan: Plan, first: tuple[str, TrialConfig], tmp_path: Path
) -> None:
    folder = trial_folder(tmp_path, first[0])
    status = Status("running", "train", step=30, total_steps=120, began=1000.0, updated=1060.0)
    write_status(folder, status)
    assert status.seconds_left() == 180.0
    with hold(folder):
        assert line(plan, tmp_path) == Line(first[0], "running", "train, step 30 of 120, 3m00s left")
    assert line(plan, tmp_path).state == "interrupted"


def test_ctrl_c_leaves_the_trial_free_and_not_failed(
    plan: Plan, first: tuple[str, TrialConfig], tmp_path: Path
) -> None:
    def stopped(_config: TrialConfig, _root: Path, report: Report) -> None:
        report.stage("train")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(first[1], tmp_path, compute=stopped)
    assert line(plan, tmp_path).state == "interrupted"
    assert run_trial(first[1], tmp_path, compute=compute)


def test_a_second_run_of_a_trial_is_refused_while_the_first_lives(
    plan: Plan, first: tuple[str, TrialConfig], tmp_path: Path
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def waiting(config: TrialConfig, root: Path, _report: Report) -> None:
        entered.set()
        leave.wait(30)
        finish(config, root)

    thread = threading.Thread(target=run_trial, args=(first[1], tmp_path), kwargs={"compute": waiting})
    thread.start()
    try:
        assert entered.wait(30)
        with pytest.raises(BusyError, match=f"{first[0]} is being written by process"):
            run_trial(first[1], tmp_path, compute=compute)
    finally:
        leave.set()
        thread.join()
    assert line(plan, tmp_path).state == "done"
    assert not (tmp_path / "ran").exists()


def test_a_trial_that_was_taken_over_stops_and_writes_nothing(first: tuple[str, TrialConfig], tmp_path: Path) -> None:
    def lost(_config: TrialConfig, _root: Path, report: Report) -> None:
        report.stage("train")
        report._lease._lost = True
        report.step(1, 2)

    with pytest.raises(BusyError, match="taken over"):
        run_trial(first[1], tmp_path, compute=lost)
    status = read_status(trial_folder(tmp_path, first[0]))
    assert status is not None
    assert status.state == "running"


def test_an_unreadable_status_is_no_status(tmp_path: Path) -> None:
    assert read_status(tmp_path) is None
    for text in ("", "{", '{"state": "done"}', "[]"):
        (tmp_path / "status.json").write_text(text)
        assert read_status(tmp_path) is None


def test_steps_are_written_seldom_and_stages_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("sweeps.status.time.time", lambda: clock[0])
    reporter, steps = Reporter(tmp_path), []
    reporter.stage("train")
    for step in range(1, 101):
        clock[0] += 0.1
        reporter.step(step, 100)
        status = read_status(tmp_path)
        assert status is not None
        steps.append(status.step)
    assert 3 <= len(set(steps) - {0}) <= 6
    reporter.end("done")
    status = read_status(tmp_path)
    assert status is not None
    assert (status.state, round(status.seconds)) == ("done", 10)


def test_status_lists_every_trial_with_its_row(plan: Plan, first: tuple[str, TrialConfig], tmp_path: Path) -> None:
    write_plan(tmp_path, plan)
    run_trial(first[1], tmp_path, compute=compute)
    declared = read_plan(tmp_path, "small")
    text = show_status(declared, tmp_path, {})
    assert "small (preset demo): 4 trials: 1 done, 3 pending" in text
    (row,) = [row for row in text.splitlines() if first[0] in row]
    assert row.split() == ["mvmae", "mask_ratio=0.5", "seed=0", first[0], "done"]
    assert len([row for row in text.splitlines() if "seed=" in row]) == 4


def test_status_of_an_ablation_that_was_never_swept_names_the_nearest(plan: Plan, tmp_path: Path) -> None:
    assert declared_names(tmp_path) == []
    write_plan(tmp_path, plan)
    for chosen in (None, "all", "small", ["small"], "some/folder/small.yaml"):
        assert choose(tmp_path, listed(chosen)) == ["small"]
    with pytest.raises(UserError, match="did you mean small"):
        choose(tmp_path, listed("smal"))


def test_a_plan_that_was_cut_is_named(plan: Plan, tmp_path: Path) -> None:
    path = write_plan(tmp_path, plan)
    saved = json.loads(path.read_text())
    for broken in ("{", json.dumps({**saved, "schema": 99}), json.dumps({"schema": 1})):
        path.write_text(broken)
        with pytest.raises(ValueError, match=r"plan\.json"):
            read_plan(tmp_path, "small")


def test_the_summary_counts_each_state() -> None:
    lines = [Line("a", "done"), Line("b", "failed", "why"), Line("c", "done"), Line("d", "pending")]
    assert summary(lines) == "4 trials: 2 done, 1 failed, 1 pending"
