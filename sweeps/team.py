"""A trial's processes on this machine: started together, watched, and ended together.

All of them are fresh processes, the first too: it can be ended when another dies and leaves it waiting, and nothing
that ran before is in its memory. The one that started them holds the trial's lease, and passes on what is said.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.compose import trial_from_dict, trial_to_dict
from core.config import TrialConfig
from core.engines.processes import meeting_place, variables
from core.errors import Interrupted, UserError
from core.measures.base import Watch
from sweeps.interrupt import STOPPED, Warned
from sweeps.processes import ProcessId, die_with, environment, kill_tree
from sweeps.shape import shape_of
from sweeps.trial import Compute, assist, one_line

POLL_SECONDS = 0.1
# between the end of the first process that goes before its time and that of all
GRACE_SECONDS = 15.0
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Relay:
    """Who watches the first process: it tells the one that started it."""

    def __init__(self, sender: Any, warned: Warned) -> None:
        self._sender, self.warned = sender, warned

    def stage(self, name: str) -> None:
        """Enter a stage. Raises Interrupted when a warning has come."""
        self.warned.check()
        self._sender.send(("stage", name))

    def training(self) -> contextlib.AbstractContextManager[None]:
        """Inside the block, who trains asks `warned()` at every step and stops by itself."""
        return self.warned.training()

    def step(self, step: int, total_steps: int) -> None:
        """`step` of `total_steps` is done."""
        self._sender.send(("step", step, total_steps))


def in_shape(compute: Compute) -> Compute:
    """`compute`, in processes of their own for a trial that several train together, or that is to be alone."""

    def run(config: TrialConfig, root: Path, report: Watch) -> None:
        shape = shape_of(config)
        if shape.alone or shape.processes > 1:
            run_together(config, root, report, compute, shape.processes)
        else:
            compute(config, root, report)

    return run


def run_together(config: TrialConfig, root: Path, report: Watch, compute: Compute, processes: int) -> None:
    """Run a trial in `processes` fresh processes; the first does `compute`, the others assist.

    Raises Interrupted when they stopped for a warning, and the error of the first that failed.
    """
    receiver, sender = multiprocessing.get_context("spawn").Pipe(duplex=False)
    with report.training(), started(config, root, compute, processes, sender) as team:
        said = watch(team, receiver, report)
    lost = [rank for rank, process in enumerate(team) if process.exitcode not in (0, STOPPED, 1)]
    if report.warned() or (not said and any(process.exitcode == STOPPED for process in team)):
        raise Interrupted("its processes were warned, and stopped")
    if said or lost:
        killed = f"process {lost[0]} of {processes} was killed (out of memory?)" if lost else ""
        raise UserError("; ".join(text for text in (killed, *said[:1]) if text), "the trial's log holds the rest")


@contextlib.contextmanager
def started(config: TrialConfig, root: Path, compute: Compute, processes: int, sender: Any) -> Iterator[list[Any]]:
    """The processes, running; none is left behind."""
    context, meeting = multiprocessing.get_context("spawn"), meeting_place()
    # read when torch and numpy are imported, so they must stand before a process starts
    threads = dict.fromkeys(THREADS, str(max(1, int(os.environ.get(THREADS[0], "1")) // processes)))
    team: list[Any] = []
    try:
        for rank in range(processes):
            told = variables(rank, processes, meeting.port) if processes > 1 else {}
            with environment(threads | told):
                words = (trial_to_dict(config), root, compute, rank, sender, ProcessId.mine())
                team.append(context.Process(target=be_one, args=words))
                team[-1].start()
        yield team
    finally:
        for process in team:
            if process.is_alive():
                kill_tree(process.pid)
            process.join()


def watch(team: list[Any], receiver: Any, report: Watch) -> list[str]:
    """Pass on what the first process tells until all have ended; returns why any failed.

    A warning is passed on to all. Once one went before its time, the others have some seconds left.
    """
    said: list[str] = []
    warned, deadline = False, float("inf")
    while True:
        over = not any(process.is_alive() for process in team)
        while receiver.poll(0 if over else POLL_SECONDS):
            hear(receiver.recv(), report, said)
            # steps may come faster than this loop waits for them: a warning must not wait until they end
            if not over:
                break
        if over or time.monotonic() > deadline:
            return said
        if report.warned() and not warned:
            warned = True
            for process in team:
                process.terminate()
        if deadline == float("inf") and any(process.exitcode for process in team):
            deadline = time.monotonic() + GRACE_SECONDS


def hear(message: tuple[Any, ...], report: Watch, said: list[str]) -> None:
    """One message: of a stage, a step, or a failure."""
    what, *rest = message
    if what == "stage":
        # after a warning the processes end by themselves, with a checkpoint
        with contextlib.suppress(Interrupted):
            report.stage(*rest)
    elif what == "step":
        report.step(*rest)
    else:
        said.extend(rest)


def be_one(saved: dict[str, Any], root: Path, compute: Compute, rank: int, sender: Any, starter: ProcessId) -> None:
    """Be process `rank` of a trial."""
    die_with(starter)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Warned().heard() as warned:
            config = trial_from_dict(saved)
            if rank == 0:
                compute(config, root, Relay(sender, warned))
            else:
                assist(config, root, warned)
    except Interrupted as stopped:
        print(f"process {rank} stopped: {stopped}", flush=True)
        sys.exit(STOPPED)
    except Exception as error:
        if warned():
            # what a warning does to helpers, and to who waits for them, may look like an error
            sys.exit(STOPPED)
        traceback.print_exc()
        sender.send(("failed", one_line(error)[:2000]))
        sys.exit(1)
