"""viewpair sweep: train and evaluate every trial of one or more ablations."""

from __future__ import annotations

import argparse
from pathlib import Path

from omegaconf import DictConfig

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
    from sweeps.config import to_sweep
    from sweeps.plan import plans_for
    from sweeps.run import preview, start_plans
    from sweeps.show import show_outcome

    settings = to_sweep(config)
    root = Path(settings.paths.root)
    plans = plans_for(settings.ablation, arguments.overrides)
    if arguments.dry_run:
        print(preview(plans, root, settings.launcher))
        return 0
    started = start_plans(plans, root, settings.launcher)
    print(started.describe(), flush=True)
    names = ",".join(plan.ablation.name for plan in plans)
    if started.launcher.detached and not arguments.wait:
        print(f"next: viewpair status ablation=[{names}] (the report is written when all have ended)")
        return 0
    outcome = started.see_through()
    print(show_outcome(outcome.lines, outcome.done_before))
    if outcome.complete:
        print(f"next: viewpair report ablation=[{names}]")
    return 0 if outcome.complete else 1
