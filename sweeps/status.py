"""What a trial says of itself while it runs: status.json, one a trial, written by rename by its owner alone."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from core.errors import DataError
from core.io import read_json, write_json

STATUS, ERROR, LOG = "status.json", "error.txt", "log.txt"
WRITE_SECONDS = 2.0


@dataclass(frozen=True)
class Status:
    """state: running | stopped | done | failed | skipped. stage: data | train | evaluate.

    step and total_steps: of training.
    began (the stage) and updated: Unix time, s. seconds: of the whole attempt so far. error: why it
    failed, was stopped or skipped, one line, else "".
    """

    state: str
    stage: str = ""
    step: int = 0
    total_steps: int = 0
    began: float = 0.0
    updated: float = 0.0
    seconds: float = 0.0
    error: str = ""

    def seconds_left(self) -> float:
        """Estimate for the training that runs, s; NaN when it cannot be told."""
        if self.state != "running" or self.stage != "train" or self.step <= 0:
            return float("nan")
        return (self.updated - self.began) / self.step * (self.total_steps - self.step)


def read_status(folder: Path) -> Status | None:
    """A trial's status; None when it never began, or when the file is unreadable."""
    try:
        saved = read_json(folder / STATUS)
        return Status(**{f.name: saved[f.name] for f in fields(Status)})
    except (DataError, KeyError, TypeError):
        return None


def write_status(folder: Path, status: Status) -> None:
    """Replace a trial's status."""
    write_json(folder / STATUS, asdict(status))


class Reporter:
    """Keeps a running trial's status.json up to date, at most every few seconds within a stage."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._start = folder, time.time()
        self._now = Status("running")

    def stage(self, name: str) -> None:
        """Enter a stage."""
        self._write(Status("running", name, began=time.time()))

    def step(self, step: int, total_steps: int) -> None:
        """Report `step` of `total_steps` of the present stage."""
        if time.time() - self._now.updated >= WRITE_SECONDS:
            self._write(replace(self._now, step=step, total_steps=total_steps))

    def end(self, state: str, error: str = "") -> None:
        """The attempt is over: done | failed | stopped | skipped."""
        self._write(replace(self._now, state=state, error=error))

    def _write(self, status: Status) -> None:
        now = time.time()
        self._now = replace(status, updated=now, seconds=now - self._start)
        write_status(self._folder, self._now)
