"""What a launcher is: it takes an order of trials, and sees to it that workers run them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from core.config import DataConfig, TrialConfig, setting
from core.data.layout import Layout
from core.registry import Registry
from sweeps.doctor import Findings
from sweeps.ledger import Place
from sweeps.trial import Compute

LOGS = "logs"


@dataclass
class LauncherConfig:
    """What every launcher has: its name. A launcher's own config extends this."""

    name: str = setting("", "which launcher (see sweeps/launchers)")


@dataclass(frozen=True)
class Order:
    """What a launcher is asked to run.

    trials: id -> config, in this order. ablations: whose they are. root: folder of everything that is written.
    folder: of this run alone, for the launcher's own files and its workers' output. compute: what a worker does
    with one trial. under_way: trials of these ablations that earlier submissions will still run.
    """

    trials: Mapping[str, TrialConfig]
    ablations: tuple[str, ...]
    root: Path
    folder: Path
    compute: Compute
    under_way: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Overview:
    """What a scheduler has of the sweeps. places: trial -> where. text: what else a person should know, or ""."""

    places: Mapping[str, Place] = field(default_factory=dict)
    text: str = ""


class Submission(Protocol):
    """Trials that were handed over. What became of each is read from the ledger, never from here."""

    def describe(self) -> str:
        """One line for the user: what was started where (processes, job ids)."""

    def active(self) -> bool:
        """Whether anything may still run. Sees to broken workers; call it often while waiting."""

    def overview(self) -> Overview:
        """Where the trials are. Call it as often as you like: a scheduler is not asked each time."""

    def cancel(self) -> None:
        """Stop what runs, without losing what is on disk. Does nothing when nothing runs."""


class Building(Protocol):
    """A data set that is being built elsewhere. layout: its shards, as they will be. logs: folder of what jobs say."""

    layout: Layout
    logs: Path

    def describe(self) -> str:
        """For the user: what was started where, or how far it is."""

    def active(self) -> bool:
        """Whether anything may still run."""

    def done(self) -> int:
        """Studies in finished shards."""


class Launcher(Protocol):
    """Starts workers, built as `Launcher(config)`.

    detached: whether trials go on without this process, so that a sweep may return once they are submitted. Then
    the launcher also sees to the data and to the report; else whoever submits has built the data before.
    """

    detached: bool

    def __init__(self, config: Any) -> None: ...

    def check(self) -> None:
        """Raise UserError, before anything is written or started, where the config cannot work."""

    def examine(self, root: Path, seconds: float) -> Findings:
        """Look whether trials could run with their output in `root`; wait for a machine at most `seconds`."""

    def refuse(self, config: TrialConfig) -> str:
        """Why this launcher cannot run a trial, for people; "" where it can. Then it is a hole, with this reason."""

    def build(self, data: DataConfig, root: Path, workers: int) -> Building | None:
        """Build or mend a data set, by `workers` processes here (0 = one per core; None: it is built), or elsewhere."""

    def plan(self, trials: Mapping[str, TrialConfig]) -> str:
        """One line for `--dry-run`: how these trials would be run."""

    def under_way(self, root: Path) -> set[str]:
        """Ids of trials that earlier submissions will still run, so that none is submitted twice."""

    def submit(self, order: Order) -> Submission:
        """Start running the order's trials and return at once. Raises UserError when that cannot work."""

    def rejoin(self, order: Order) -> Submission | None:
        """What was submitted earlier and still runs the order's `under_way`; None when that is nothing."""


LAUNCHERS: Registry[type[Launcher]] = Registry("launcher", "sweeps.launchers")
