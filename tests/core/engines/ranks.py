"""Real processes that train together over gloo."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from core.data.build import prepare
from core.trainer import train
from tests.core.conftest import small_trial, start

Job = tuple[Callable[..., None], tuple[object, ...]]


class StoppedError(Exception):
    """Ends a run in the middle, on every rank at the same step."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def as_rank(rank: int, world: int, jobs: list[tuple[int, Job]]) -> None:
    """Run each job as one rank of a group of its own, with the variables that torchrun sets."""
    for port, (target, arguments) in jobs:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world),
                       "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
        target(*arguments)


def on_two(*jobs: Job) -> None:
    """Run jobs, one after the other, on two ranks; both must end well."""
    numbered = [(free_port(), job) for job in jobs]
    ranks = [start(as_rank, rank, 2, numbered) for rank in (0, 1)]
    for process in ranks:
        process.join(timeout=240)
    codes = [process.exitcode for process in ranks]
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
