"""Run the trials of several plans in one pool: data once, workers, progress; and say what became of them."""

from __future__ import annotations

import contextlib
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.build import data_key, prepare

from core.config import TrialConfig
from core.errors import BusyError
from core.progress import Progress
from sweeps.folders import runs_folder
from sweeps.launchers.base import LAUNCHERS, Launcher, Order, Submission
from sweeps.lease import hold
from sweeps.ledger import Line, counts, read_ledger
from sweeps.plan import Plan, write_plan
from sweeps.queue import Queue
from sweeps.trial import Compute, compute

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Outcome:
    """What a run left: the ledger's lines, and how many trials were done before it began."""

    lines: list[Line]
    done_before: int

    @property
    def complete(self) -> bool:
        """Whether every trial is done."""
        return all(line.state == "done" for line in self.lines)


def all_trials(plans: Sequence[Plan]) -> dict[str, TrialConfig]:
    """Config of every trial by id; a trial that several plans share stands once, where it comes first."""
    trials: dict[str, TrialConfig] = {}
    for plan in plans:
        for trial, config in plan.trials().items():
            trials.setdefault(trial, config)
    return trials


def run_plans(plans: Sequence[Plan], root: Path, launcher: Any, compute: Compute = compute) -> Outcome:
    """Write the plans, build the data, run what is missing on `launcher` (its config), and return what came out.

    A trial that fails does so alone. Ctrl-C stops the workers; everything on disk is kept.
    """
    for plan in plans:
        write_plan(root, plan)
    trials = all_trials(plans)
    before = read_ledger(root, trials)
    missing = {line.trial: trials[line.trial] for line in before if line.state != "done"}
    if missing:
        build_data(list(missing.values()), root)
        _launch(missing, trials, root, launcher, compute)
    return Outcome(read_ledger(root, trials), len(trials) - len(missing))


def build_data(configs: Sequence[TrialConfig], root: Path) -> None:
    """Build every data set that the trials need, once, before workers would each want to."""
    data = {data_key(config.data): config.data for config in configs}
    for key, config in data.items():
        with _alone(root / "data" / f".{key}"):
            prepare(config, root)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a lease, waiting for whoever has it: another sweep that builds the same data."""
    while True:
        try:
            with hold(folder):
                yield
                return
        except BusyError:
            time.sleep(POLL_SECONDS)


def _launch(
    missing: Mapping[str, TrialConfig], trials: Mapping[str, TrialConfig], root: Path, config: Any, compute: Compute
) -> None:
    folder = runs_folder(root) / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    order = Order(Queue.fill(folder / "queue", dict(missing)), root, folder / "logs", compute)
    launcher: Launcher = LAUNCHERS.build(config)
    submission = launcher.submit(order)
    print(f"{len(missing)} of {len(trials)} trials to run: {submission.describe()}", flush=True)
    if launcher.detached:
        return
    lines = follow(submission, root, missing, len(trials))
    if counts(lines).keys() == {"done"}:
        shutil.rmtree(folder, ignore_errors=True)


def follow(submission: Submission, root: Path, trials: Mapping[str, TrialConfig], total: int) -> list[Line]:
    """Show progress until nothing runs any more; returns the ledger. On any error, Ctrl-C too, stop what runs."""
    lines: list[Line] = []
    try:
        with Progress("trials", total, "trials", done=total - len(trials)) as progress:
            active = True
            while active:
                time.sleep(POLL_SECONDS)
                active = submission.active()
                before, lines = _done(lines), read_ledger(root, trials)
                progress.advance(_done(lines) - before, note=_note(lines))
    finally:
        submission.cancel()
    return lines


def _done(lines: list[Line]) -> int:
    return counts(lines).get("done", 0)


def _note(lines: list[Line]) -> str:
    return ", ".join(f"{n} {state}" for state, n in counts(lines).items() if state in ("running", "failed"))
