"""`viewpair report`: tables and figures from the results on disk."""

from __future__ import annotations

import argparse
from pathlib import Path

from omegaconf import DictConfig, ListConfig

LINE = "write tables and figures from the results on disk; prints the main table"
PRIMARY = "results"
EXAMPLES = (
    "report",
    "report ablation=pairing --macros",
    "report ablation=[pairing,baselines] --resamples 10000 --strict",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's flags."""
    from analysis.resample import INTERVALS

    parser.add_argument("--resamples", type=int, default=2000, metavar="N", help="bootstrap resamples (default 2000)")
    parser.add_argument("--interval", choices=INTERVALS, default=INTERVALS[0], help="kind of interval")
    parser.add_argument("--strict", action="store_true", help="refuse an ablation whose table has a hole (exit code 2)")
    parser.add_argument("--macros", action="store_true", help="also write macros.tex: the tables' numbers for prose")


def run(config: DictConfig, arguments: argparse.Namespace) -> int:
    """Report the ablations that `ablation=` names; all that have a plan when it is not given."""
    from analysis.report import ReportConfig, write_reports
    from analysis.resample import BootstrapConfig

    bootstrap = BootstrapConfig(arguments.resamples, interval=arguments.interval)
    settings = ReportConfig(bootstrap, arguments.strict, arguments.macros)
    summary = write_reports(Path(config.paths.root), names(config), settings)
    print(summary.main_table)
    print(f"\nreport: {summary.path}")
    return 0


def names(config: DictConfig) -> list[str] | None:
    """The ablations asked for; None = all."""
    chosen = config.ablation
    if chosen is None or chosen == "all":
        return None
    return [str(name) for name in chosen] if isinstance(chosen, ListConfig) else [str(chosen)]
