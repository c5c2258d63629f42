"""Waiting for jobs on a real cluster: what counts as still under way, and how seldom SLURM is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config import TrialConfig
from sweeps.launchers.base import Order
from sweeps.launchers.slurm import Slurm, SlurmConfig
from sweeps.plan import Plan
from sweeps.slurm import scheduler
from sweeps.slurm.overview import Watch, overview
from sweeps.slurm.runs import job_name, pack, write_run
from sweeps.trial import compute
from tests.slurm.conftest import DevCluster, Job
from tests.sweeps.conftest import ablations, plan

__all__ = ["ablations", "plan"]
# how squeue shows an element that it does not list yet
PENDING = Job("PENDING", "", "", "")


@pytest.fixture(autouse=True)
def _as_a_users_shell(cluster: DevCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, cluster.env[name])


def order(root: Path, under_way: frozenset[str]) -> Order:
    """Of a second sweep, which has nothing to submit."""
    return Order({}, ("small",), root, root / "runs" / "second", compute, under_way)


def submitted(cluster: DevCluster, root: Path, trials: dict[str, TrialConfig]) -> str:
    """An earlier run, whose tasks sleep; its array's number."""
    folder = root / "runs" / "first"
    write_run(folder, trials, pack(list(trials), 1, 1, 1, 1001), ["small"], {})
    return cluster.sbatch("sleep 300", f"--array=0-{len(trials) - 1}", f"--job-name={job_name(folder, 0)}")


def test_jobs_of_an_earlier_sweep_are_waited_for_again(cluster: DevCluster, plan: Plan, tmp_path: Path) -> None:
    job = submitted(cluster, tmp_path, plan.trials())
    launcher = Slurm(SlurmConfig())
    under_way = frozenset(launcher.under_way(tmp_path))
    assert under_way == plan.trials().keys()
    run = launcher.rejoin(order(tmp_path, under_way))
    assert run is not None
    assert run.active()
    cluster.output("scancel", job)
    cluster.wait_until(lambda: not cluster.output("squeue", "--noheader"))
    again = launcher.rejoin(order(tmp_path, under_way))
    assert again is not None
    assert not again.active()
    assert launcher.rejoin(order(tmp_path, frozenset())) is None


def test_only_the_trials_that_are_waited_for_count(cluster: DevCluster, plan: Plan, tmp_path: Path) -> None:
    job = submitted(cluster, tmp_path, plan.trials())
    first, second, *_ = plan.trials()
    cluster.wait_until(lambda: cluster.squeue().get(f"{job}_0", PENDING).state == "RUNNING")
    cluster.output("scancel", f"{job}_0")
    cluster.wait_until(lambda: cluster.state(f"{job}_0") == "CANCELLED")
    launcher = Slurm(SlurmConfig())
    for trial, active in ((first, False), (second, True)):
        run = launcher.rejoin(order(tmp_path, frozenset([trial])))
        assert run is not None
        assert run.active() is active


def test_slurm_is_asked_seldom_however_often_it_is_looked_at(
    cluster: DevCluster, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(cluster, tmp_path, plan.trials())
    asked, now = [], [0.0]
    real = scheduler.ask
    monkeypatch.setattr(scheduler, "ask", lambda *command: asked.append(command[0]) or real(*command))
    watch = Watch(tmp_path, 5.0, lambda: now[0])
    for _ in range(100):
        now[0] += 0.25
        assert watch().runs == {"first"}
    assert asked.count("squeue") == 5


def test_a_silent_slurm_does_not_end_the_waiting(
    cluster: DevCluster, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(cluster, tmp_path, plan.trials())
    run = Slurm(SlurmConfig()).rejoin(order(tmp_path, frozenset(plan.trials())))
    assert run is not None
    monkeypatch.setenv("PATH", "/nonexistent")
    assert run.active()
    assert "from disk alone" in run.overview().text


def test_held_jobs_are_told_with_what_to_type(cluster: DevCluster, plan: Plan, tmp_path: Path) -> None:
    job = submitted(cluster, tmp_path, dict(list(plan.trials().items())[:1]))
    cluster.wait_until(lambda: cluster.squeue().get(f"{job}_0", PENDING).state == "RUNNING")
    cluster.output("scontrol", "requeuehold", f"{job}_0")
    cluster.wait_until(lambda: overview(tmp_path).text.endswith(f"type: scontrol release {job}_0"), 40)
