"""Run the trials of several plans in one pool: data once, workers, progress; and say what became of them."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config import TrialConfig
from core.data.build import data_key, prepare
from core.errors import require
from core.progress import Progress
from sweeps.estimate import estimate
from sweeps.folders import runs_folder
from sweeps.launchers.base import LAUNCHERS, Launcher, Order, Submission
from sweeps.ledger import Line, counts, read_ledger
from sweeps.plan import Plan, write_plan
from sweeps.queue import Queue
from sweeps.show import show_plans
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


def preview(plans: Sequence[Plan], root: Path) -> str:
    """What running the plans would do and cost, as text. Writes nothing."""
    trials = all_trials(plans)
    lines = read_ledger(root, _keys(plans))
    done = {line.trial: trials[line.trial] for line in lines if line.state == "done"}
    missing = {trial: config for trial, config in trials.items() if trial not in done}
    return show_plans(plans, lines, estimate(root, missing, done))


def _keys(plans: Sequence[Plan]) -> dict[str, str]:
    """Evaluation key of every trial. Raises ConfigError where two plans evaluate a shared trial differently."""
    keys: dict[str, str] = {}
    for plan in plans:
        for trial in plan.trials():
            same = keys.setdefault(trial, plan.evaluation_key) == plan.evaluation_key
            what = f"ablation {plan.ablation.name} shares trials with another, but evaluates them differently"
            require(same, what, "run the two in separate commands")
    return keys


def run_plans(plans: Sequence[Plan], root: Path, launcher: Any, compute: Compute = compute) -> Outcome:
    """Write the plans, build the data, run what is missing on `launcher` (its config), and return what came out.

    A trial that fails does so alone. Ctrl-C stops the workers; everything on disk is kept.
    """
    trials, keys = all_trials(plans), _keys(plans)
    for plan in plans:
        write_plan(root, plan)
    missing = {line.trial: trials[line.trial] for line in read_ledger(root, keys) if line.state != "done"}
    if missing:
        build_data(list(missing.values()), root)
        _launch(missing, keys, root, launcher, compute)
    return Outcome(read_ledger(root, keys), len(trials) - len(missing))


def build_data(configs: Sequence[TrialConfig], root: Path) -> None:
    """Build every data set that the trials need, once, before workers would each wait for it."""
    data = {data_key(config.data): config.data for config in configs}
    for config in data.values():
        prepare(config, root)


def _launch(
    missing: Mapping[str, TrialConfig], keys: Mapping[str, str], root: Path, config: Any, compute: Compute
) -> None:
    folder = runs_folder(root) / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    order = Order(Queue.fill(folder / "queue", dict(missing)), root, folder / "logs", compute)
    launcher: Launcher = LAUNCHERS.build(config)
    submission = launcher.submit(order)
    print(f"{len(missing)} of {len(keys)} trials to run: {submission.describe()}", flush=True)
    if launcher.detached:
        return
    if follow(submission, root, {trial: keys[trial] for trial in missing}, len(keys)) == 0:
        # what the workers said is of use only when something went wrong
        shutil.rmtree(folder, ignore_errors=True)


def follow(submission: Submission, root: Path, trials: Mapping[str, str], total: int) -> int:
    """Show progress of `trials` (id -> evaluation key) until nothing runs any more; returns how many are not done.

    On any error, Ctrl-C too, stop what runs.
    """
    left = dict(trials)
    try:
        with Progress("sweep", total, "trials", done=total - len(left)) as progress:
            active = True
            while active:
                time.sleep(POLL_SECONDS)
                active = submission.active()
                lines = read_ledger(root, left)
                finished = {line.trial for line in lines if line.state == "done"}
                left = {trial: key for trial, key in left.items() if trial not in finished}
                progress.advance(len(finished), note=_note(lines))
    finally:
        submission.cancel()
    return len(left)


def _note(lines: list[Line]) -> str:
    return ", ".join(f"{n} {state}" for state, n in counts(lines).items() if state in ("running", "failed"))
