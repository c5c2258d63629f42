"""Real processes that train together over gloo."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path

from core.data.build import prepare
from core.engines.processes import meeting_place, variables
from core.trainer import train
from tests.core.conftest import small_trial, start

PATIENCE = 240  # seconds
Job = tuple[Callable[..., None], tuple[object, ...]]


class StoppedError(Exception):
    """Ends a run in the middle, on every rank at the same step."""


def as_rank(rank: int, world: int, jobs: list[tuple[int, Job]]) -> None:
    """Run each job as one rank of a group of its own."""
    for port, (target, arguments) in jobs:
        os.environ |= variables(rank, world, port)
        target(*arguments)


def on_two(*jobs: Job) -> None:
    """Run jobs, one after the other, on two ranks; both must end well."""
    meetings = [meeting_place() for _ in jobs]
    numbered = [(meeting.port, job) for meeting, job in zip(meetings, jobs, strict=True)]
    ranks = [start(as_rank, rank, 2, numbered) for rank in (0, 1)]
    deadline = time.monotonic() + PATIENCE
    # a rank that waits for one that broke would wait long
    while None in (codes := [process.exitcode for process in ranks]) and not any(codes) and time.monotonic() < deadline:
        wait([process.sentinel for process in ranks], timeout=1)
    for process in ranks:
        process.kill()
    assert codes == [0, 0]


def train_there(root: Path, overrides: tuple[str, ...], folder: Path) -> None:
    """Train a small trial to its end."""
    config = small_trial(root, overrides)
    train(config, prepare(config.data, root), folder)


def train_until(root: Path, overrides: tuple[str, ...], folder: Path, last: int) -> None:
    """Train, and stop once `last` steps are done."""
    config = small_trial(root, overrides)

    def stop(step: int, _: int) -> None:
        if step == last:
            raise StoppedError

    try:
        train(config, prepare(config.data, root), folder, on_step=stop)
    except StoppedError:
        return
    raise AssertionError(f"the run ended before step {last}")
