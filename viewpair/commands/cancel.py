"""viewpair cancel: stop what was submitted to SLURM."""

from __future__ import annotations

import argparse
from pathlib import Path

from omegaconf import DictConfig

LINE = "stop what was submitted to SLURM; running trials write a checkpoint first, and nothing done is lost"
PRIMARY = "results"
EXAMPLES = ("cancel", "cancel ablation=pairing")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """This verb has no flags of its own."""


def run(config: DictConfig, _arguments: argparse.Namespace) -> int:
    """Cancel the jobs of the ablations that `ablation=` names, or all; say how their trials stand then."""
    from sweeps.config import results_words
    from sweeps.declared import choose, listed, read_plan
    from sweeps.ledger import read_ledger, summary
    from sweeps.slurm.cancel import cancel

    root = Path(config.paths.root)
    names = choose(root, listed(config.ablation))
    plans = [read_plan(root, name) for name in names]
    count = cancel(root, set().union(*(plan.keys() for plan in plans)), set(names))
    print(f"{count} jobs cancelled" if count else "nothing of these was in the queue")
    for plan in plans:
        print(f"{plan.ablation}: {summary(read_ledger(root, plan.keys()))}")
    if count:
        print(f"to go on: viewpair resume {results_words(names, root)}")
    return 0
