"""This machine: n worker processes at a time, the cores divided among them, by submitit's local executor."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config import DataConfig, TrialConfig, setting
from core.data.build import build
from core.errors import BusyError, Interrupted, UserError, check_range
from core.workers import cores
from sweeps.doctor import (
    Findings,
    look_at_cores,
    look_at_disk,
    look_at_folder,
    look_at_memory,
    look_at_torch,
)
from sweeps.folders import trial_folder
from sweeps.interrupt import STOPPED, Warned
from sweeps.launchers.base import LAUNCHERS, LOGS, LauncherConfig, Order, Overview
from sweeps.lease import hold
from sweeps.processes import ProcessId, deaf_to_interrupts, die_with, environment, kill_tree
from sweeps.queue import Queue
from sweeps.shape import shape_of
from sweeps.status import LOG, Reporter, read_status
from sweeps.team import THREADS, in_shape
from sweeps.trial import Compute
from sweeps.worker import ATTEMPT, pull

# submitit ends a local job after two minutes unless told otherwise
A_YEAR_MINUTES = 365 * 24 * 60
GRACE_SECONDS = 10.0
GPUS = "VIEWPAIR_CUDA_VISIBLE_DEVICES"


@dataclass
class LocalConfig(LauncherConfig):
    """Settings of the local launcher."""

    name: str = setting("local", "launcher")
    processes: int = setting(0, "trials side by side; 0 = one a core, or one a GPU of launcher.gpus")
    threads: int = setting(0, "CPU threads of each; 0 = the cores divided among them")
    gpus: list[int] = setting([], "GPUs to spread the trials over; empty = each trial sees what this shell sees")

    def __post_init__(self) -> None:
        check_range("launcher.processes", self.processes, 0, 4096)
        check_range("launcher.threads", self.threads, 0, 4096)


@LAUNCHERS.register("local", config=LocalConfig)
class Local:
    """This machine: worker processes side by side, each running trials one after the other."""

    detached = False

    def __init__(self, config: LocalConfig) -> None:
        self.config = config

    def check(self) -> None:
        """Nothing can be wrong here that the config's own checks do not find."""

    def examine(self, root: Path, seconds: float) -> Findings:
        """This machine's cores, memory, GPUs, and the output folder."""
        processes = self.config.processes or len(self.config.gpus) or cores()
        yield look_at_cores(processes, self.config.threads or max(1, cores() // processes), cores())
        yield look_at_memory(processes)
        yield look_at_torch(self.config.gpus)
        yield look_at_folder(root)
        yield look_at_disk(root)

    def refuse(self, config: TrialConfig) -> str:
        """A trial over several nodes, or over more GPUs than there are."""
        shape = shape_of(config)
        if shape.nodes > 1:
            return f"runtime.nodes={shape.nodes}, and launcher=local has this machine only (use launcher=slurm)"
        gpus = 0 if config.runtime.device == "cpu" else self._gpus()
        if gpus and shape.processes > gpus:
            return f"runtime.processes={shape.processes}, and here are {gpus} GPUs"
        return ""

    def _gpus(self) -> int:
        """How many GPUs there are for a trial that has them all."""
        import torch

        return len(self.config.gpus) or torch.cuda.device_count()

    def build(self, data: DataConfig, root: Path, workers: int) -> None:
        """Build it by processes of this machine."""
        build(data, root, workers)

    def plan(self, trials: Mapping[str, TrialConfig]) -> str:
        """How many side by side."""
        return "; then ".join(wave.describe() for wave in self._waves(trials)) + " on this machine"

    def under_way(self, root: Path) -> set[str]:
        """None: local trials that still run are seen by their leases, and waited for."""
        return set()

    def submit(self, order: Order) -> LocalRun:
        """Start the workers."""
        return LocalRun(order, self._waves(order.trials))

    def _waves(self, trials: Mapping[str, TrialConfig]) -> list[Wave]:
        """First the trials of one process, side by side; then the others, each with the whole machine to itself."""
        shapes = {trial: shape_of(config) for trial, config in trials.items()}
        large = {t: config for t, config in trials.items() if shapes[t].alone or shapes[t].processes > 1}
        small = {t: config for t, config in trials.items() if t not in large}
        processes, threads = self._share(len(small))
        gpus = tuple(map(str, self.config.gpus))
        every_gpu = (",".join(gpus),) if gpus else ()
        waves = [
            Wave(small, processes, threads, gpus),
            Wave(large, 1, self.config.threads or cores(), every_gpu),
        ]
        return [wave for wave in waves if wave.trials]

    def rejoin(self, order: Order) -> None:
        """Nothing: local trials end with the process that started them."""

    def _share(self, trials: int) -> tuple[int, int]:
        """Processes, and CPU threads of each."""
        processes = min(self.config.processes or len(self.config.gpus) or cores(), trials)
        return processes, self.config.threads or max(1, cores() // max(1, processes))


@dataclass(frozen=True)
class Wave:
    """Trials that are run before the next wave begins.

    beside: how many at a time. threads: CPU threads of each. gpus: what CUDA_VISIBLE_DEVICES is for each of those
    side by side in turn; empty = what this shell has.
    """

    trials: Mapping[str, TrialConfig]
    beside: int
    threads: int
    gpus: tuple[str, ...]

    def describe(self) -> str:
        """A few words for a plan."""
        several = f"{self.beside} trials side by side" if self.beside > 1 else f"{len(self.trials)} trials in turn"
        return f"{several}, {self.threads} CPU thread(s) each"


@dataclass
class _Slot:
    """A place for one worker after another. job: submitit's; worker: its name, under which it takes trials."""

    job: Any
    worker: str


class LocalRun:
    """The workers of one order."""

    def __init__(self, order: Order, waves: Sequence[Wave]) -> None:
        self._order, self._waves = order, waves
        self._started = 0
        self._begin(0)

    def _begin(self, number: int) -> None:
        """Start the workers of a wave."""
        self._number, self._wave = number, self._waves[number]
        self._queue = Queue.fill(self._order.folder / f"queue-{number}", self._wave.trials)
        self._slots = [self._start(position) for position in range(self._wave.beside)]

    def describe(self) -> str:
        """How many workers, with how many threads."""
        logs = self._order.folder / LOGS
        return f"{'; then '.join(wave.describe() for wave in self._waves)}; logs in {logs}"

    def active(self) -> bool:
        """Whether workers run. One that was killed costs its trial; a new worker goes on with the rest."""
        for position, slot in enumerate(self._slots):
            if slot.job is None or not slot.job.done():
                continue
            self._bury(slot)
            left = len(self._queue) > 0
            self._slots[position] = self._start(position) if left else _Slot(None, "")
        if all(slot.job is None for slot in self._slots) and self._number + 1 < len(self._waves):
            self._begin(self._number + 1)
        return any(slot.job is not None for slot in self._slots)

    def overview(self) -> Overview:
        """Nothing: what runs here tells of itself on disk."""
        return Overview()

    def cancel(self) -> None:
        """Ask the workers to stop, and kill what has not after ten seconds."""
        jobs = [slot.job for slot in self._slots if slot.job is not None and not slot.job.done()]
        for job in jobs:
            # submitit's controller passes it on to its worker
            _signal(job, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline and not all(job.done() for job in jobs):
            time.sleep(0.05)
        for job in jobs:
            kill_tree(int(job.job_id))

    def _start(self, position: int) -> _Slot:
        from submitit import LocalExecutor

        self._started += 1
        worker = f"w{self._started}"
        executor = LocalExecutor(folder=self._order.folder / LOGS)
        executor.update_parameters(timeout_min=A_YEAR_MINUTES, stderr_to_stdout=True)
        with environment(self._variables(position)), deaf_to_interrupts():
            job = executor.submit(work, self._queue, self._order.root, self._order.compute, worker, ProcessId.mine())
        return _Slot(job, worker)

    def _variables(self, position: int) -> dict[str, str]:
        # read when torch and numpy are imported, so they must stand before the worker starts
        variables = dict.fromkeys(THREADS, str(self._wave.threads))
        if self._wave.gpus:
            variables[GPUS] = self._wave.gpus[position % len(self._wave.gpus)]
        elif "CUDA_VISIBLE_DEVICES" in os.environ:
            variables[GPUS] = os.environ["CUDA_VISIBLE_DEVICES"]
        return variables

    def _bury(self, slot: _Slot) -> None:
        """Mark the trial that a dead worker was running as failed. Raises UserError when it never got to one."""
        trials = self._queue.taken_by(slot.worker)
        if not trials and len(self._queue):
            # the next one would do no better
            raise UserError("a worker ended before it took a trial", f"its log says why: {slot.job.paths.stdout}")
        for trial in trials:
            folder = trial_folder(self._order.root, trial)
            status = read_status(folder)
            if status is not None and status.state != "running":
                continue
            with contextlib.suppress(BusyError), hold(folder):
                Reporter(folder).end("failed", _last_words(folder / LOG))


def work(queue: Queue, root: Path, compute: Compute, worker: str, launcher: ProcessId) -> None:
    """The worker process: end with the launcher, stop when warned, run what the queue gives."""
    die_with(launcher)
    _see_gpus()
    try:
        # submitit's own handlers would swallow the signals
        with Warned().heard() as warned:
            pull(queue, root, worker, in_shape(compute), warned)
    except Interrupted as stopped:
        raise SystemExit(STOPPED) from stopped


def _see_gpus() -> None:
    """submitit hides all GPUs from a local job that asks for none: show those of the launcher's shell again."""
    if GPUS in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ[GPUS]
    else:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)


def _last_words(log: Path) -> str:
    """Why a worker died in the middle of a trial, as far as the trial's log of this attempt tells."""
    text = log.read_text(errors="replace") if log.exists() else ""
    crash = text.rpartition(ATTEMPT)[2].partition("Fatal Python error: ")[2]
    return (
        f"the worker crashed: {crash.splitlines()[0]}" if crash else "the worker was killed (kill -9? out of memory?)"
    )


def _signal(job: Any, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(job.job_id), number)
