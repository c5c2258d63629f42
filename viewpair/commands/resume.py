"""viewpair resume: run what is missing of sweeps that were asked for before."""

from __future__ import annotations

import argparse
from pathlib import Path

from omegaconf import DictConfig

LINE = "go on with sweeps: submit only the trials that are missing, with the words that they were asked with"
PRIMARY = "sweep"
EXAMPLES = ("resume", "resume ablation=pairing", "resume ablation=pairing launcher.time=12:00:00")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this verb."""
    parser.add_argument("--wait", action="store_true", help="follow trials that run elsewhere (SLURM) to their end")


def checked(overrides: list[str]) -> list[str]:
    """Without the launcher's settings: which launcher they are for, the sweep's own words say."""
    return [word for word in overrides if not word.startswith("launcher.")]


def run(config: DictConfig, arguments: argparse.Namespace) -> int:
    """Run what is missing of the ablations that `ablation=` names, or of all; exit code as of sweep."""
    from core.compose import compose
    from sweeps.again import recall
    from sweeps.config import to_sweep, with_profile
    from sweeps.declared import choose, listed
    from sweeps.plan import plans_for
    from viewpair.commands.sweep import conclude, start

    root = Path(config.paths.root)
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in choose(root, listed(config.ablation)):
        file, words = recall(root, name, arguments.overrides)
        groups.setdefault(tuple(words), []).append(file)
    codes = []
    for asked, files in groups.items():
        settings = to_sweep(compose(with_profile(list(asked)), "sweep"))
        started = start(plans_for(files, asked), files, root, settings.launcher, asked)
        codes.append(conclude(started, arguments.wait))
    return max(codes)
