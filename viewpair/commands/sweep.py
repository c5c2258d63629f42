"""viewpair sweep: train and evaluate every trial of one or more ablations."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

if TYPE_CHECKING:
    from sweeps.plan import Plan
    from sweeps.run import Started

LINE = "run the trials of ablations/*.yaml that are missing (--dry-run: show them and their cost)"
PRIMARY = "sweep"
EXAMPLES = (
    "sweep ablation=pairing --dry-run",
    "sweep ablation=pairing launcher.processes=2",
    "sweep ablation=[masking_ratio,pairing] seeds=[0,1,2]",
    "sweep ablation=pairing data=folder data.csv=/path/films.csv",
    "sweep ablation=all preset=paper",
    "sweep ablation=masking_ratio launcher=slurm launcher.partition=gpu launcher.gres=gpu:1 launcher.max_parallel=16",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this verb."""
    parser.add_argument("--dry-run", action="store_true", help="print the plan and its cost; write nothing")
    parser.add_argument("--wait", action="store_true", help="follow trials that run elsewhere (SLURM) to their end")


def run(config: DictConfig, arguments: argparse.Namespace) -> int:
    """Run what is missing; exit code 1 when a trial is still missing afterwards."""
    from sweeps.ablation import names_of
    from sweeps.config import to_sweep
    from sweeps.plan import plans_for
    from sweeps.run import preview

    settings = to_sweep(config)
    root = Path(settings.paths.root)
    plans = plans_for(settings.ablation, arguments.overrides)
    if arguments.dry_run:
        print(preview(plans, root, settings.launcher))
        return 0
    files = names_of(settings.ablation)
    return conclude(start(plans, files, root, settings.launcher, arguments.overrides), arguments.wait)


def start(plans: Sequence[Plan], files: Sequence[str], root: Path, launcher: Any, words: Sequence[str]) -> Started:
    """Start what is missing of the plans, and keep with what words it was asked for (files: as they were named)."""
    from sweeps.again import remember
    from sweeps.run import start_plans

    started = start_plans(plans, root, launcher)
    for plan, file in zip(plans, files, strict=True):
        remember(root, plan.ablation.name, file, words)
    print(started.describe(), flush=True)
    return started


def conclude(started: Started, wait: bool) -> int:
    """See trials through that are this process's own, or that are waited for; the exit code of the verb."""
    from sweeps.config import results_words
    from sweeps.show import show_outcome
    from viewpair.cli import INTERRUPTED

    these = results_words(started.order.ablations, started.order.root)
    if started.launcher.detached and not wait:
        print(f"next: viewpair status {these} (the report is written when all have ended)")
        return 0
    try:
        outcome = started.see_through()
    except KeyboardInterrupt:
        if not started.launcher.detached:
            raise
        print(f"\nno longer watching; the jobs go on. To look: viewpair status {these}")
        print("To watch again: the same command (what is under way is not submitted twice). To stop: viewpair cancel")
        return INTERRUPTED
    print(show_outcome(outcome.lines, outcome.done_before))
    if outcome.complete:
        print(f"next: viewpair report {these}")
    return 0 if outcome.complete else 1
