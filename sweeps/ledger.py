"""The ledger: declared trials minus verified results, read from disk each time that it is asked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.progress import duration
from sweeps.folders import trial_folder
from sweeps.lease import owner
from sweeps.status import LOG, Status, read_status
from sweeps.trial import is_done

STATES = ("done", "running", "interrupted", "failed", "pending")


@dataclass(frozen=True)
class Line:
    """Where one trial stands. state: one of STATES. detail: step and time left, or the reason and the log."""

    trial: str
    state: str
    detail: str = ""


def read_ledger(root: Path, trials: Mapping[str, str]) -> list[Line]:
    """Where every declared trial (id -> evaluation key) stands, in this order.

    done: its result is there and whole. A result that was cut short is a hole, whatever status.json says.
    running: a live process has it. interrupted: it began, and its owner is gone; the next run goes on from there.
    """
    return [_line(trial, evaluation, trial_folder(root, trial)) for trial, evaluation in trials.items()]


def _line(trial: str, evaluation: str, folder: Path) -> Line:
    if not folder.is_dir():
        return Line(trial, "pending")
    if is_done(folder, evaluation):
        return Line(trial, "done")
    status = read_status(folder)
    if owner(folder) is not None:
        return Line(trial, "running", _progress(status))
    if status is None or status.state == "done":
        # trained for another evaluation, or its result was deleted or cut short
        return Line(trial, "pending", "was trained; its result for these settings is missing" if status else "")
    if status.state == "failed":
        return Line(trial, "failed", f"{status.error} (log: {folder / LOG})")
    return Line(trial, "interrupted", _progress(status))


def _progress(status: Status | None) -> str:
    if status is None:
        return ""
    if not status.total_steps:
        return status.stage
    left = status.seconds_left()
    text = f"{status.stage}, step {status.step} of {status.total_steps}"
    return text if math.isnan(left) else f"{text}, {duration(left)} left"


def counts(lines: list[Line]) -> dict[str, int]:
    """How many trials are in each state; states without one are left out."""
    found = Counter(line.state for line in lines)
    return {state: found[state] for state in STATES if found[state]}


def summary(lines: list[Line]) -> str:
    """'12 trials: 10 done, 1 failed, 1 pending'."""
    return f"{len(lines)} trials: " + ", ".join(f"{n} {state}" for state, n in counts(lines).items())
