"""viewpair reproduce: all four ablations, then their report."""

from __future__ import annotations

import argparse
from pathlib import Path

from omegaconf import DictConfig

LINE = "the whole comparison: all ablations in one pool, then tables and plots; run again, it goes on"
PRIMARY = "sweep"
EXAMPLES = ("reproduce", "reproduce preset=paper launcher.gpus=[0,1,2,3]")
ABLATIONS = ("masking_ratio", "alignment_weight", "pairing", "baselines")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """This verb has no flags of its own."""


def run(config: DictConfig, arguments: argparse.Namespace) -> int:
    """Run what is missing and write the report; exit code 1 when a trial is still missing afterwards."""
    from analysis.fresh import ensure_reports
    from sweeps.config import to_sweep
    from sweeps.plan import plans_for
    from sweeps.run import run_plans
    from sweeps.show import show_outcome

    settings = to_sweep(config)
    root = Path(settings.paths.root)
    plans = plans_for(settings.ablation or ABLATIONS, arguments.overrides)
    outcome = run_plans(plans, root, settings.launcher)
    print(show_outcome(outcome.lines, outcome.done_before), flush=True)
    summary = ensure_reports(root, [plan.ablation.name for plan in plans])
    print(f"\n{summary.main_table}\n\nreport: {summary.path}")
    return 0 if outcome.complete else 1
