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

from core.config import TrialConfig
from core.data.build import data_key, prepare
from core.errors import BusyError, require
from sweeps.declared import read_plan
from sweeps.estimate import estimate
from sweeps.folders import runs_folder
from sweeps.launchers.base import LAUNCHERS, Launcher, Order, Submission
from sweeps.lease import hold
from sweeps.ledger import Line, read_ledger
from sweeps.plan import Plan, write_plan
from sweeps.show import show_plans, show_skipped
from sweeps.trial import Compute, compute, skip
from sweeps.watch import follow

POLL_SECONDS = 0.5
SUBMITTING = ".submitting"


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


def preview(plans: Sequence[Plan], root: Path, launcher: Any) -> str:
    """What running the plans on `launcher` (its config) would do and cost, as text. Writes nothing."""
    trials = all_trials(plans)
    lines = read_ledger(root, _keys(plans))
    done = {line.trial: trials[line.trial] for line in lines if line.state == "done"}
    missing = {trial: config for trial, config in trials.items() if trial not in done}
    text = show_plans(plans, lines, estimate(root, missing, done))
    built: Launcher = LAUNCHERS.build(launcher)
    refused = refusals(built, missing)
    possible = {trial: config for trial, config in missing.items() if trial not in refused}
    told = [show_skipped(refused)] if refused else []
    return "\n".join([text, *([built.plan(possible)] if possible else []), *told])


def refusals(launcher: Launcher, trials: Mapping[str, TrialConfig]) -> dict[str, str]:
    """Why, of each trial that the launcher cannot run."""
    reasons = {trial: launcher.refuse(config) for trial, config in trials.items()}
    return {trial: reason for trial, reason in reasons.items() if reason}


def _keys(plans: Sequence[Plan]) -> dict[str, str]:
    """Evaluation key of every trial. Raises ConfigError where two plans evaluate a shared trial differently."""
    keys: dict[str, str] = {}
    for plan in plans:
        for trial in plan.trials():
            same = keys.setdefault(trial, plan.evaluation_key) == plan.evaluation_key
            what = f"ablation {plan.ablation.name} shares trials with another, but evaluates them differently"
            require(same, what, "run the two in separate commands")
    return keys


@dataclass(frozen=True)
class Started:
    """Plans whose missing trials were handed to a launcher.

    submission: None where nothing is under way. refused: trial -> why the launcher cannot run it.
    """

    launcher: Launcher
    order: Order
    submission: Submission | None
    keys: Mapping[str, str]
    done_before: int
    refused: Mapping[str, str]

    def describe(self) -> str:
        """What was started, for the user."""
        queued = len(self.order.under_way)
        lines = [f"{queued} trials are under way already"] if queued else []
        if self.refused:
            lines.append(show_skipped(self.refused))
        if self.submission and self.order.trials:
            lines.append(f"{len(self.order.trials)} of {len(self.keys)} trials to run: {self.submission.describe()}")
        return "\n".join(lines)

    def outcome(self) -> Outcome:
        """How all trials stand now."""
        return Outcome(read_ledger(self.order.root, self.keys), self.done_before)

    def see_through(self) -> Outcome:
        """Follow the trials to their end. On any error, Ctrl-C too, stop workers that are this process's own."""
        if self.submission is None:
            return self.outcome()
        plans = [read_plan(self.order.root, name) for name in self.order.ablations]
        try:
            left = follow(self.submission, self.order.root, plans)
        finally:
            if not self.launcher.detached:
                self.submission.cancel()
        if left == 0 and not self.launcher.detached:
            # what the workers said is of use only when something went wrong
            shutil.rmtree(self.order.folder, ignore_errors=True)
        return self.outcome()


def run_plans(plans: Sequence[Plan], root: Path, launcher: Any, compute: Compute = compute) -> Outcome:
    """Start what is missing on `launcher` (its config), see it through, and return what came out.

    A trial that fails does so alone. Everything on disk is kept, whatever ends the run.
    """
    started = start_plans(plans, root, launcher, compute)
    print(started.describe(), flush=True)
    return started.see_through()


def start_plans(plans: Sequence[Plan], root: Path, launcher: Any, compute: Compute = compute) -> Started:
    """Write the plans and hand what is missing, and not under way already, to the launcher."""
    trials, keys = all_trials(plans), _keys(plans)
    built: Launcher = LAUNCHERS.build(launcher)
    built.check()
    for plan in plans:
        write_plan(root, plan)
    with one_at_a_time(root):
        missing = [line.trial for line in read_ledger(root, keys) if line.state != "done"]
        under_way = built.under_way(root) & set(missing) if missing else set[str]()
        left = {trial: trials[trial] for trial in missing if trial not in under_way}
        refused = refusals(built, left)
        for trial, reason in refused.items():
            skip(root, trial, reason)
        wanted = {trial: config for trial, config in left.items() if trial not in refused}
        folder = runs_folder(root) / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
        names = tuple(plan.ablation.name for plan in plans)
        order = Order(wanted, names, root, folder, compute, frozenset(under_way))
        if wanted and not built.detached:
            build_data(list(wanted.values()), root)
        submission = built.submit(order) if wanted else built.rejoin(order)
    return Started(built, order, submission, keys, len(trials) - len(missing), refused)


@contextlib.contextmanager
def one_at_a_time(root: Path) -> Iterator[None]:
    """Let two sweeps that are started at once submit one after the other, so that the second sees the first's jobs."""
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(hold(root / SUBMITTING))
                break
            except BusyError:
                time.sleep(POLL_SECONDS)
        yield


def build_data(configs: Sequence[TrialConfig], root: Path) -> None:
    """Build every data set that the trials need, once, before workers would each wait for it."""
    data = {data_key(config.data): config.data for config in configs}
    for config in data.values():
        prepare(config, root)
