"""viewpair status: where every trial of the sweeps on disk stands."""

from __future__ import annotations

import argparse
from pathlib import Path

from omegaconf import DictConfig

LINE = "where every trial stands: done, running (step, time left), failed (why, log), missing"
PRIMARY = "sweep"
EXAMPLES = ("status", "status ablation=pairing", "status paths.root=/scratch/outputs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """This verb has no flags of its own."""


def run(config: DictConfig, _arguments: argparse.Namespace) -> int:
    """Print a table for each ablation; always exit code 0."""
    from sweeps.declared import chosen, read_declared
    from sweeps.show import show_status

    root = Path(config.paths.root)
    names = chosen(root, config.ablation)
    if not names:
        print(f"nothing was swept in {root} yet; begin with viewpair sweep ablation=pairing --dry-run")
    for name in names:
        print(show_status(read_declared(root, name), root))
    return 0
