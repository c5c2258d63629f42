"""viewpair claims: what the results say of the claims that ablations make."""

from __future__ import annotations

import argparse
from pathlib import Path

from omegaconf import DictConfig

LINE = "hold each ablation's claims against the results; exit code 0 when all of them stand"
PRIMARY = "results"
EXAMPLES = ("claims", "claims ablation=pairing", "claims ablation=pairing --margin 0.005 --interval bca")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's flags."""
    from analysis.claims import MARGIN
    from analysis.resample import INTERVALS

    parser.add_argument("--resamples", type=int, default=2000, metavar="N", help="bootstrap resamples (default 2000)")
    parser.add_argument("--interval", choices=INTERVALS, default=INTERVALS[0], help="kind of interval")
    parser.add_argument(
        "--margin",
        type=float,
        default=MARGIN,
        metavar="M",
        help=f"a difference below this is none, where a claim does not say (default {MARGIN})",
    )


def run(config: DictConfig, arguments: argparse.Namespace) -> int:
    """Print a table of verdicts for each ablation; exit code 1 when a claim does not stand."""
    from analysis.claims import judge
    from analysis.collect import ResultReader, collect
    from analysis.resample import BootstrapConfig
    from analysis.sections import claims_console
    from analysis.summary import Bootstrap, summarise
    from core.errors import check_range
    from core.threads import one_thread
    from sweeps.declared import choose, listed, read_plan

    one_thread()
    check_range("--margin", arguments.margin, 0, 1, open_low=True, open_high=True)
    root = Path(config.paths.root)
    reader = ResultReader(root)
    bootstrap = Bootstrap(BootstrapConfig(arguments.resamples, interval=arguments.interval))
    stand = True
    for name in choose(root, listed(config.ablation)):
        plan = read_plan(root, name)
        if not plan.claims:
            continue
        summary = summarise(collect(reader, plan), bootstrap)
        verdicts = judge(summary, arguments.margin)
        print(claims_console(summary, verdicts), end="\n\n")
        stand = stand and all(verdict.is_as_claimed for verdict in verdicts)
    return 0 if stand else 1
