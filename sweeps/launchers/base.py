"""What a launcher is: it takes an order of trials, and sees to it that workers run them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from core.config import setting
from core.registry import Registry
from sweeps.queue import Queue
from sweeps.trial import Compute


@dataclass
class LauncherConfig:
    """What every launcher has: its name. A launcher's own config extends this."""

    name: str = setting("", "which launcher (see sweeps/launchers)")


@dataclass(frozen=True)
class Order:
    """What a launcher is asked to run.

    queue: the trials, handed out to whoever asks. root: folder of everything that is written. logs: folder for
    the workers' own output. compute: what a worker does with one trial.
    """

    queue: Queue
    root: Path
    logs: Path
    compute: Compute


class Submission(Protocol):
    """Trials that were handed over. What became of each is read from the ledger, never from here."""

    def describe(self) -> str:
        """One line for the user: what was started where (processes, job ids)."""

    def active(self) -> bool:
        """Whether anything may still run. Sees to broken workers; call it often while waiting."""

    def cancel(self) -> None:
        """Stop what runs, without losing what is on disk. Does nothing when nothing runs."""


class Launcher(Protocol):
    """Starts workers, built as `Launcher(config)`.

    detached: whether trials go on without this process, so that a sweep may return once they are submitted.
    """

    detached: bool

    def __init__(self, config: Any) -> None: ...

    def submit(self, order: Order) -> Submission:
        """Start running the order's trials and return at once. Raises UserError when that cannot work."""


LAUNCHERS: Registry[type[Launcher]] = Registry("launcher", "sweeps.launchers")
