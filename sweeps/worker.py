"""What a worker process does: it takes trials from the queue, one after the other, until none is left."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from core.config import TrialConfig
from core.errors import BusyError
from core.identity import trial_id
from sweeps.folders import trial_folder
from sweeps.interrupt import Warned
from sweeps.queue import Queue
from sweeps.status import LOG
from sweeps.trial import Compute, run_trial

WAIT_SECONDS = 1.0
# opens each attempt in a trial's log
ATTEMPT = "=== attempt by "


def pull(queue: Queue, root: Path, worker: str, compute: Compute, warned: Warned) -> None:
    """Run trials until the queue is empty, then those that another sweep had, once they are free.

    A trial that another sweep is running is not run twice: when it is free again its result is there, or its
    owner died and it is ours. Raises Interrupted when a warning has come.
    """
    busy = []
    while (taken := queue.take(worker)) is not None:
        if not attempt(taken.config, root, worker, compute, warned):
            busy.append(taken.config)
    for config in busy:
        while not attempt(config, root, worker, compute, warned):
            time.sleep(WAIT_SECONDS)


def attempt(config: TrialConfig, root: Path, worker: str, compute: Compute, warned: Warned) -> bool:
    """Run a trial with its output in its own log; False when another process has it."""
    try:
        with output_to(trial_folder(root, trial_id(config)) / LOG):
            print(f"{ATTEMPT}{worker}, process {os.getpid()}", flush=True)
            run_trial(config, root, worker, compute, warned)
    except BusyError:
        return False
    return True


@contextlib.contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Append what this process prints, and where it crashes, to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with log.open("a") as handle:
        os.dup2(handle.fileno(), 1)
        os.dup2(handle.fileno(), 2)
        faulthandler.enable(file=handle)
        try:
            yield
        finally:
            _restore(kept)


def _restore(kept: tuple[int, int]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    faulthandler.enable()
    for saved, number in zip(kept, (1, 2), strict=True):
        os.dup2(saved, number)
        os.close(saved)
