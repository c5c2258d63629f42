"""viewpair status: where every trial of the sweeps on disk stands, and every build that SLURM has."""

from __future__ import annotations

import argparse
from pathlib import Path

from omegaconf import DictConfig

LINE = "where every trial stands: done, running (step, time left), preempted, failed (why, log), pending; data builds"
PRIMARY = "results"
EXAMPLES = ("status", "status ablation=pairing", "status paths.root=/scratch/outputs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """This verb has no flags of its own."""


def run(config: DictConfig, _arguments: argparse.Namespace) -> int:
    """Print a table for each ablation, then what SLURM has besides trials; always exit code 0."""
    from sweeps.declared import choose, declared_names, listed, read_plan
    from sweeps.show import show_status
    from sweeps.slurm.overview import overview

    root = Path(config.paths.root)
    slurm = overview(root)
    if declared_names(root):
        for name in choose(root, listed(config.ablation)):
            print(show_status(read_plan(root, name), root, slurm.places))
    else:
        print(f"nothing was swept in {root} yet; begin with viewpair sweep ablation=pairing --dry-run")
    if slurm.text:
        print(slurm.text)
    return 0
