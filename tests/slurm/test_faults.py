"""Faults of a shared cluster: whatever happens to a trial on its way, the end is that of an undisturbed run."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from core import checkpoint
from core.io import read_json, write_json
from core.telemetry import read_telemetry
from sweeps.launchers.local import LocalConfig
from sweeps.plan import make_plan
from sweeps.run import run_plans
from sweeps.status import read_status
from tests.shell import Command
from tests.slurm.conftest import DevCluster
from tests.slurm.sweeping import Sweep, fingerprint, share_data, write_ablation

Undisturbed = tuple[Path, Path, dict[str, dict[str, str]]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """(the ablation's file, its root, what it left), run by the local launcher."""
    folder = tmp_path_factory.mktemp("undisturbed")
    file = write_ablation(folder, "small")
    plan = make_plan(str(file), [f"paths.root={folder}"], "demo")
    assert run_plans([plan], folder, LocalConfig(processes=1, threads=1)).complete
    return file, folder, fingerprint(folder, dict.fromkeys(plan.trials(), plan.evaluation_key))


@pytest.fixture
def sweep(cluster: DevCluster, undisturbed: Undisturbed, tmp_path: Path) -> Sweep:
    """The same sweep, not yet submitted."""
    share_data(undisturbed[1], tmp_path / "out")
    return Sweep(cluster, undisturbed[0], tmp_path / "out")


@pytest.fixture
def same(undisturbed: Undisturbed) -> Callable[[Sweep], bool]:
    """Whether a sweep that has ended left what the undisturbed one left."""
    return lambda sweep: fingerprint(sweep.root, sweep.keys) == undisturbed[2]


def test_a_warning_and_a_requeue(sweep: Sweep, same: Callable[[Sweep], bool]) -> None:
    """scancel --signal=USR2 on one trial, scontrol requeue on the other."""
    sweep.submit()
    first = sweep.until_training(0, step=20)
    sweep.cluster.output("scancel", "--signal=USR2", first)
    # a second one during the save, or after it, does no harm
    sweep.cluster.run("scancel", "--signal=USR2", first)
    second = sweep.until_training(1, step=60)
    sweep.cluster.output("scontrol", "requeue", second)
    sweep.until(lambda: sweep.jobs()[first] == "PENDING" or sweep.attempts(sweep.trials[0]) > 1)
    sweep.until_done()
    assert same(sweep)
    assert [sweep.attempts(trial) for trial in sweep.trials] == [2, 2]
    # SLURM sends TERM before it requeues: both stopped at a step with a checkpoint, and lost nothing
    assert all(read_json(sweep.folder(trial) / "cost.json")["wasted_seconds"] == 0 for trial in sweep.trials)


def test_killed_and_out_of_time(sweep: Sweep, same: Callable[[Sweep], bool]) -> None:
    """kill -9 on the one task, the time limit on the other."""
    sweep.submit("launcher.signal_delay=20")
    sweep.until_training(0, step=60)
    (pid,) = sweep.pids(sweep.trials[0])
    sweep.until(lambda: stopped_behind_a_checkpoint(pid, sweep.folder(sweep.trials[0])))
    os.kill(pid, signal.SIGKILL)
    second = sweep.until_training(1, step=20)
    (pid,) = sweep.pids(sweep.trials[1])
    with frozen(pid):
        sweep.cluster.output("scontrol", "update", f"jobid={second}", "EndTime=now+70seconds")
        # SLURM looks at time limits twice a minute
        sweep.until(lambda: not psutil.pid_exists(pid) or pending(pid, signal.SIGUSR2), 70)
    sweep.until_done()
    assert same(sweep)
    assert [sweep.attempts(trial) for trial in sweep.trials] == [2, 2]
    assert read_json(sweep.folder(sweep.trials[0]) / "cost.json")["wasted_seconds"] > 0
    assert read_json(sweep.folder(sweep.trials[1]) / "cost.json")["wasted_seconds"] == 0


def stopped_behind_a_checkpoint(pid: int, folder: Path) -> bool:
    """Stop a process where it has told of steps that are in no checkpoint; otherwise let it go on."""
    os.kill(pid, signal.SIGSTOP)
    told = [line["step"] for line in read_telemetry(folder / "telemetry.jsonl")]
    if told and told[-1] >= checkpoint.saved_steps(folder / "checkpoints")[-1]:
        return True
    os.kill(pid, signal.SIGCONT)
    return False


@contextlib.contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Let processes make no step inside the block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def pending(pid: int, number: int) -> bool:
    """Whether a signal waits for a process (proc(5): SigPnd, ShdPnd)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask >> (number - 1) & 1 for mask in masks)


def test_preempted_by_a_higher_partition(sweep: Sweep, same: Callable[[Sweep], bool]) -> None:
    sweep.submit()
    first = sweep.until_training(0, step=20)
    urgent = sweep.cluster.sbatch("sleep 300", "--partition=urgent", "--nodes=3", "--exclusive", "--mem=100")
    sweep.until(lambda: sweep.jobs()[first] in ("PENDING", "COMPLETING", "REQUEUED"))
    sweep.until(lambda: sweep.jobs()[first] == "PENDING")
    printed = sweep.call("status")
    assert f"preempted  train, step {read_status_step(sweep, 0)} of" in printed
    assert f"in the queue as job {first}" in printed
    sweep.cluster.output("scancel", urgent)
    sweep.until_done()
    assert same(sweep)
    assert sweep.attempts(sweep.trials[0]) == 2


def read_status_step(sweep: Sweep, number: int) -> int:
    """The step at which a trial stopped, as it said itself."""
    status = read_status(sweep.folder(sweep.trials[number]))
    assert status is not None
    return status.step


def test_a_node_that_is_lost_and_comes_back(sweep: Sweep, same: Callable[[Sweep], bool]) -> None:
    """slurmd is killed for a moment on one node, and on another until SLURM gives the node up."""
    sweep.submit()
    first = sweep.until_training(0, step=20)
    node = sweep.cluster.squeue()[first].node
    sweep.cluster.kill("slurmd", node, "-9")
    sweep.until(lambda: sweep.jobs()[first] != "RUNNING", seconds=90)
    # its process runs on, unseen by SLURM: the next life must not train beside it
    sweep.cluster.start("slurmd", node)
    sweep.until_done()
    assert same(sweep)


def test_the_controller_restarts_and_dies(sweep: Sweep, same: Callable[[Sweep], bool]) -> None:
    sweep.submit()
    sweep.until_training(0)
    sweep.until_training(1)
    with frozen(*(pid for trial in sweep.trials for pid in sweep.pids(trial))):
        sweep.cluster.kill("slurmctld")
        silent = sweep.call("status")
        assert "SLURM: " in silent
        assert "from disk alone" in silent
        sweep.cluster.start("slurmctld")
        assert "2 running" in sweep.call("status")
        sweep.cluster.kill("slurmctld", "-9")
        sweep.cluster.start("slurmctld")
    sweep.until(lambda: release_what_is_held(sweep) or all(line.state == "done" for line in sweep.ledger()), 200)
    assert same(sweep)


def release_what_is_held(sweep: Sweep) -> bool:
    """Type what `viewpair status` says to type for jobs that SLURM holds; False while there are any others."""
    for job, seen in sweep.cluster.squeue().items():
        if "held" in seen.reason:
            command = f"scontrol release {job}"
            assert command in sweep.call("status")
            sweep.cluster.output(*command.split())
            sweep.cluster.run("scontrol", "update", "nodename=ALL", "state=resume")
    return False


def test_the_submitting_shell_is_killed(sweep: Sweep, same: Callable[[Sweep], bool]) -> None:
    process = Command(sweep.words(), env=sweep.cluster.env)
    sweep.until(lambda: bool(list(sweep.root.glob("runs/*/run.json"))))
    process.kill()
    Command(sweep.words(), env=sweep.cluster.env).finished()
    sweep.until_done()
    assert same(sweep)
    assert [sweep.attempts(trial) for trial in sweep.trials] == [1, 1]


def test_submitted_twice_at_once_and_a_cell_edited(sweep: Sweep, same: Callable[[Sweep], bool], tmp_path: Path) -> None:
    both = [Command(sweep.words(), env=sweep.cluster.env) for _ in range(2)]
    printed = [process.finished() for process in both]
    assert sum("2 trials are under way already" in text for text in printed) == 1
    first = sweep.until_training(0)
    old = sweep.trials
    edited = Sweep(sweep.cluster, write_ablation(tmp_path / "edited", "small", ratios="0.5, 0.85"), sweep.root)
    assert "1 of 2 trials to run" in edited.submit()
    edited.until_done()
    assert edited.trials[0] == old[0]
    assert edited.trials[1] not in old
    assert [edited.attempts(trial) for trial in edited.trials] == [1, 1]
    assert sweep.cluster.state(first) == "COMPLETED"
    # back to the file as it was: the old cell's result is still there, told apart by its id
    back = Sweep(sweep.cluster, sweep.file, sweep.root)
    assert "trials to run" not in back.submit()
    assert back.trials == old
    assert same(back)


def test_a_rank_dies(cluster: DevCluster, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """Two processes train a trial together; the second one is killed."""
    file = write_ablation(tmp_path, "pair", ratios="0.75", epochs=60)
    sweeps = [Sweep(cluster, file, tmp_path / name) for name in ("disturbed", "left-alone")]
    for sweep in sweeps:
        share_data(undisturbed[1], sweep.root)
        sweep.submit("launcher.ranks=2")
    sweep = sweeps[0]
    sweep.until_training(0, step=20)
    (leader,) = sweep.pids(sweep.trials[0])
    other = next(pid for pid in tasks_beside(leader) if pid != leader)
    os.kill(other, signal.SIGKILL)
    for sweep in sweeps:
        sweep.until_done()
    assert [sweep.attempts(sweep.trials[0]) for sweep in sweeps] == [2, 1]
    assert fingerprint(sweeps[0].root, sweeps[0].keys) == fingerprint(sweeps[1].root, sweeps[1].keys)


def tasks_beside(pid: int) -> list[int]:
    """The tasks of the same job step."""
    own = psutil.Process(pid)
    parent = own.parent()
    assert parent is not None
    return [child.pid for child in parent.children() if child.cmdline() == own.cmdline()]


def test_a_trial_that_gets_nowhere_is_given_up(sweep: Sweep, same: Callable[[Sweep], bool]) -> None:
    """Killed before its first checkpoint each time; afterwards it can be resumed."""
    sweep.submit("launcher.max_starts=2")
    trial = sweep.trials[0]
    for attempt in (1, 2):
        sweep.until(lambda n=attempt: sweep.starts(trial) == n and 0 < sweep.step(trial) < 50)  # type: ignore[misc]
        os.kill(sweep.pids(trial)[-1], signal.SIGKILL)
    sweep.until(lambda: sweep.ledger()[0].state == "failed", 90)
    assert "given up: 2 starts got no further than step 0" in sweep.ledger()[0].detail
    sweep.until(lambda: sweep.ledger()[1].state == "done")
    sweep.until(lambda: "COMPLETED" in set(sweep.jobs().values()) and "RUNNING" not in sweep.jobs().values())
    assert "1 of 2 trials to run" in sweep.call("resume")
    sweep.until_done()
    assert same(sweep)


def test_out_of_memory(sweep: Sweep, same: Callable[[Sweep], bool]) -> None:
    """Too little memory to come far: it ends, says so, and goes on with more."""
    sweep.submit("launcher.memory_gb=0.1")
    sweep.until(lambda: bool(sweep.jobs()) and not set(sweep.jobs().values()) & {"PENDING", "RUNNING", "COMPLETING"})
    printed = sweep.call("status")
    assert (
        printed.count("ended: failed") == 2
        or printed.count("given up") == 2
        or printed.count("ended: out of memory") == 2
    )
    sweep.call("resume", "launcher.memory_gb=1.5")
    sweep.until_done()
    assert same(sweep)


def test_the_results_folder_is_full_and_freed(cluster: DevCluster, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """On a real, small file system."""
    root = tmp_path / "small-disk"
    root.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(root)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        shutil.copytree(undisturbed[1] / "data", root / "data")
        sweep = Sweep(cluster, undisturbed[0], root)
        sweep.submit()
        first = sweep.until_training(0)
        with contextlib.suppress(OSError), (root / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))
        sweep.until(lambda: "waiting for room" in "".join(p.read_text() for p in root.glob("runs/*/logs/*_0_log.out")))
        assert sweep.jobs()[first] == "RUNNING"
        (root / "ballast").unlink()
        sweep.until_done()
        assert fingerprint(root, sweep.keys) == undisturbed[2]
        cluster.settle()
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


def test_one_of_twelve_fails(cluster: DevCluster, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """Trials packed six to a task, two side by side; one of them fails each time that it is tried."""
    file = write_ablation(tmp_path, "twelve", ratios="0.5, 0.6, 0.75", seeds="0, 1, 2, 3", epochs=2)
    sweep = Sweep(cluster, file, tmp_path / "out")
    share_data(undisturbed[1], sweep.root)
    words = ("launcher.trials_per_task=6", "launcher.concurrent=2")
    dry = Command(sweep.words("--dry-run", *words), env=cluster.env).finished()
    assert "SLURM: 12 trials in 2 array tasks of up to 6 trials each, 2 side by side, 16 at once" in dry
    plan = make_plan(str(file), [f"paths.root={sweep.root}"], "demo")
    broken = list(plan.trials())[4]
    write_json(sweep.folder(broken) / "config.json", {"result_config": {"seed": "another"}})
    sweep.submit(*words)
    sweep.until(lambda: sum(line.state == "done" for line in sweep.ledger()) == 11)
    sweep.until(lambda: not set(sweep.jobs().values()) & {"PENDING", "RUNNING", "COMPLETING"})
    assert [line.trial for line in sweep.ledger() if line.state == "failed"] == [broken]
    assert "holds a run of another config" in sweep.call("status")
    assert {sweep.attempts(trial) for trial in sweep.trials} == {1}
    (sweep.folder(broken) / "config.json").unlink()
    assert "1 of 12 trials to run" in sweep.call("resume")
    sweep.until_done()
