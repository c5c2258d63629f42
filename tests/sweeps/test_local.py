"""The local launcher with real worker processes: some trials fail, crash, are killed; the rest goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from core.compose import compose, to_trial
from core.errors import UserError
from core.workers import cores
from sweeps.folders import trial_folder
from sweeps.launchers.local import Local, LocalConfig
from sweeps.lease import owner
from sweeps.ledger import Line, read_ledger
from sweeps.plan import Plan
from sweeps.run import run_plans
from tests.sweeps import fakes

CHECKOUT = Path(__file__).resolve().parents[2]

# what `viewpair sweep` does, with a stand-in for training
SWEEP = """
import sys
from pathlib import Path
import sweeps.run
from sweeps.launchers.local import LocalConfig
from sweeps.plan import make_plan
from tests.sweeps.fakes import compute
from viewpair.cli import main
import viewpair.cli

sweeps.run.build_data = lambda configs, root: None

def dispatch(words):
    root, ablations, processes = Path(words[0]), Path(words[1]), int(words[2])
    outcome = sweeps.run.run_plans(
        [make_plan("small", [], "demo", ablations)], root, LocalConfig(processes=processes), compute
    )
    return 0 if outcome.complete else 1

viewpair.cli.dispatch = dispatch
sys.exit(main())
"""


@pytest.fixture(autouse=True)
def _workers_find_the_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    monkeypatch.setattr("sweeps.run.build_data", lambda *_: None)


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def give(**what: str) -> None:
        monkeypatch.setenv(fakes.RULES, json.dumps(what))

    return give


def sweep_in_background(root: Path, ablations: Path, processes: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SWEEP, str(root), str(ablations), str(processes)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=CHECKOUT)


def ledger(plan: Plan, root: Path) -> list[Line]:
    return read_ledger(root, dict.fromkeys(plan.trials(), plan.evaluation_key))


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_trials_that_fail_or_kill_their_worker_fail_alone(
    plan: Plan, tmp_path: Path, rules: Callable[..., None]
) -> None:
    ids = list(plan.trials())
    rules(**{ids[0]: "kill", ids[1]: "fail", ids[2]: "crash"})
    outcome = run_plans([plan], tmp_path, LocalConfig(processes=1), fakes.compute)
    assert not outcome.complete
    assert [line.state for line in outcome.lines] == ["failed", "failed", "failed", "done"]
    assert "the worker was killed" in outcome.lines[0].detail
    assert "RuntimeError: the sky fell" in outcome.lines[1].detail
    assert "the worker crashed: Segmentation fault" in outcome.lines[2].detail
    assert all(str(trial_folder(tmp_path, line.trial) / "log.txt") in line.detail for line in outcome.lines[:3])
    assert f"training {ids[1]} threads {cores()}" in (trial_folder(tmp_path, ids[1]) / "log.txt").read_text()
    assert fakes.ran(tmp_path) == sorted(ids)
    rules()
    again = run_plans([plan], tmp_path, LocalConfig(processes=2), fakes.compute)
    assert again.complete
    assert again.done_before == 1
    assert fakes.ran(tmp_path) == sorted(ids + ids[:3])
    third = run_plans([plan], tmp_path, LocalConfig(processes=2), fakes.compute)
    assert third.done_before == 4
    assert fakes.ran(tmp_path) == sorted(ids + ids[:3])


def test_two_sweeps_at_once_train_nothing_twice(
    plan: Plan, ablations: Path, tmp_path: Path, rules: Callable[..., None]
) -> None:
    rules(**dict.fromkeys(plan.trials(), "slow1"))
    both = [sweep_in_background(tmp_path, ablations, 1) for _ in range(2)]
    assert [process.wait(timeout=240) for process in both] == [0, 0]
    assert fakes.ran(tmp_path) == sorted(plan.trials())
    assert {line.state for line in ledger(plan, tmp_path)} == {"done"}


def test_workers_die_with_a_killed_launcher_and_the_next_run_goes_on(
    plan: Plan, ablations: Path, tmp_path: Path, rules: Callable[..., None]
) -> None:
    ids = list(plan.trials())
    rules(**{ids[0]: "slow60"})
    sweep = sweep_in_background(tmp_path, ablations, 1)
    wait_for(lambda: owner(trial_folder(tmp_path, ids[0])) and fakes.ran(tmp_path))
    family = psutil.Process(sweep.pid).children(recursive=True)
    assert len(family) >= 2
    sweep.kill()
    sweep.wait()
    assert psutil.wait_procs(family, timeout=30)[1] == []
    first, *others = ledger(plan, tmp_path)
    assert first.state == "interrupted"
    assert {line.state for line in others} == {"pending"}
    rules()
    assert run_plans([plan], tmp_path, LocalConfig(processes=1), fakes.compute).complete
    assert fakes.ended(tmp_path) == sorted(ids)


def test_ctrl_c_stops_the_workers_in_order(
    plan: Plan, ablations: Path, tmp_path: Path, rules: Callable[..., None]
) -> None:
    ids = list(plan.trials())
    rules(**dict.fromkeys(ids, "slow60"))
    sweep = sweep_in_background(tmp_path, ablations, 2)
    wait_for(lambda: len(fakes.ran(tmp_path)) == 2)
    family = psutil.Process(sweep.pid).children(recursive=True)
    sweep.send_signal(signal.SIGINT)
    assert sweep.stderr is not None
    message = sweep.stderr.read()
    assert sweep.wait(timeout=60) == 130
    assert "interrupted; what was computed is kept" in message
    assert "Traceback" not in message
    assert psutil.wait_procs(family, timeout=30)[1] == []
    states = [line.state for line in ledger(plan, tmp_path)]
    assert sorted(states) == ["interrupted", "interrupted", "pending", "pending"]
    released = list((tmp_path / "trials").glob("*/lease/*/released.json"))
    assert len(released) == 2


def test_workers_that_cannot_start_end_the_sweep_with_their_log(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # importable here, but not in the workers
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "only_here.py").write_text("def compute(config, root, report): ...")
    monkeypatch.syspath_prepend(tmp_path / "here")
    import only_here  # type: ignore[import-not-found]

    with pytest.raises(UserError, match="a worker ended before it took a trial") as raised:
        run_plans([plan], tmp_path, LocalConfig(processes=1), only_here.compute)
    log = Path(raised.value.hint.removeprefix("its log says why: "))
    assert "No module named 'only_here'" in log.read_text()


def test_cores_are_divided_among_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.launchers.local.cores", lambda: 8)
    seen: list[tuple[int, int, tuple[str, ...]]] = []
    monkeypatch.setattr(
        "sweeps.launchers.local.LocalRun",
        lambda _order, waves: seen.extend((wave.beside, wave.threads, wave.gpus) for wave in waves),
    )

    class Waiting:
        trials = dict.fromkeys(range(6), to_trial(compose([])))

    for config in (
        LocalConfig(),
        LocalConfig(processes=3),
        LocalConfig(processes=2, threads=1),
        LocalConfig(gpus=[0, 1]),
    ):
        Local(config).submit(Waiting())  # type: ignore[arg-type]
    assert seen == [(6, 1, ()), (3, 2, ()), (2, 1, ()), (2, 4, ("0", "1"))]


def test_the_environment_of_this_process_stays_as_it_was(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = dict(os.environ)
    handler = signal.getsignal(signal.SIGINT)
    for trial in list(plan.trials())[1:]:
        fakes.finish(plan.trials()[trial], tmp_path)
    assert run_plans([plan], tmp_path, LocalConfig(processes=1), fakes.compute).complete
    assert dict(os.environ) == before
    assert signal.getsignal(signal.SIGINT) is handler
    assert list((tmp_path / "runs").iterdir()) == []
