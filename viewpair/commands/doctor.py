"""viewpair doctor: whether a launcher would work, before a sweep is sent."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

if TYPE_CHECKING:
    from sweeps.doctor import Finding

LINE = "look whether a launcher works before a sweep is sent: settings, shared folder, a node, GPUs, rendezvous"
PRIMARY = "sweep"
EXAMPLES = (
    "doctor",
    "doctor launcher=slurm launcher.partition=gpu launcher.gres=gpu:1",
    "doctor launcher=mycluster --seconds 1800",
)
WIDTH = 28


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this verb."""
    parser.add_argument("--seconds", type=float, default=300.0, help="wait for a node at most so long (default 300)")


def run(config: DictConfig, arguments: argparse.Namespace) -> int:
    """Print a line for each finding as it comes; exit code 1 when something failed."""
    from core.errors import check_range
    from sweeps.config import to_sweep
    from sweeps.doctor import FAILED, WARNING, Finding
    from sweeps.launchers.base import LAUNCHERS, Launcher

    check_range("--seconds", arguments.seconds, 1, 1_000_000)
    settings = to_sweep(config)
    launcher: Launcher = LAUNCHERS.build(settings.launcher)
    verdicts = []
    with contextlib.closing(launcher.examine(Path(settings.paths.root), arguments.seconds)) as findings:
        for finding in findings:
            if isinstance(finding, Finding):
                verdicts.append(finding.verdict)
                print(shown(finding), flush=True)
            else:
                print(f"{'':<{WIDTH}}{finding.text}", flush=True)
    failed, warned = verdicts.count(FAILED), verdicts.count(WARNING)
    print(f"{len(verdicts)} checks: {failed} failed, {warned} warnings")
    return 1 if failed else 0


def shown(finding: Finding) -> str:
    """A finding as lines: verdict, title, what was found; below it what to do."""
    first, *more = finding.found.splitlines()
    lines = [f"{finding.verdict:<9}{finding.title:<{WIDTH - 9}}{first}", *(f"{'':<{WIDTH}}{line}" for line in more)]
    return "\n".join([*lines, f"{'':<{WIDTH}}-> {finding.hint}"] if finding.hint else lines)
