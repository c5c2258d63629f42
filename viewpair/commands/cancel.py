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
    """Cancel the jobs of the ablations that `ablation=` names, or all, data sets' builds among them."""
    from sweeps.declared import choose, declared_names, listed
    from sweeps.slurm.cancel import cancel_builds
    from sweeps.slurm.runs import builds

    root, chosen = Path(config.paths.root), listed(config.ablation)
    if chosen is None and builds(root):
        print(told_of_builds(cancel_builds(root)))
        if not declared_names(root):
            return 0
    cancel_ablations(root, choose(root, chosen))
    return 0


def told_of_builds(count: int) -> str:
    """What to say of the cancelled jobs that built data."""
    if not count:
        return "data: no build was in the queue"
    return f"data: {count} jobs cancelled; what is built stays, and the same viewpair data build goes on with it"


def cancel_ablations(root: Path, names: list[str]) -> None:
    """Cancel the jobs of these ablations; say how their trials stand then."""
    from sweeps.config import results_words
    from sweeps.declared import read_plan
    from sweeps.ledger import read_ledger, summary
    from sweeps.slurm.cancel import cancel

    plans = [read_plan(root, name) for name in names]
    count = cancel(root, set().union(*(plan.keys() for plan in plans)), set(names))
    print(f"{count} jobs cancelled" if count else "nothing of these was in the queue")
    for plan in plans:
        print(f"{plan.ablation}: {summary(read_ledger(root, plan.keys()))}")
    if count:
        print(f"to go on: viewpair resume {results_words(names, root)}")
