"""viewpair compare: two trials, two rows or two ablations side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

from omegaconf import DictConfig

LINE = "two trials, two rows of a table or two ablations: what differs in config and in result"
PRIMARY = "results"
EXAMPLES = (
    'compare "MVMAE (structured)" "MAE (unstructured)"',
    "compare mae vicreg ablation=baselines",
    "compare 5f0c1a 99ab07",
    "compare masking_ratio alignment_weight",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's flags."""
    parser.add_argument("--resamples", type=int, default=2000, metavar="N", help="bootstrap resamples (default 2000)")


def checked(overrides: list[str]) -> list[str]:
    """The overrides behind the two names, which may hold a `=` themselves."""
    return overrides[2:]


def run(config: DictConfig, arguments: argparse.Namespace) -> int:
    """Print the differences in config, then the numbers side by side."""
    from tabulate import tabulate

    from analysis.compare import compare_two
    from analysis.resample import BootstrapConfig
    from core.errors import UserError
    from core.threads import one_thread
    from sweeps.declared import choose, listed

    one_thread()
    words = arguments.overrides[:2]
    if len(words) < 2:
        raise UserError(f"viewpair compare takes two names, not {len(words)}", f"such as: viewpair {EXAMPLES[0]}")
    root = Path(config.paths.root)
    names = choose(root, listed(config.ablation))
    found = compare_two(root, words[0], words[1], names, BootstrapConfig(arguments.resamples))
    print(f"{found.title}\n\nconfig:")
    print("\n".join(f"  {line}" for line in found.config) or "  no difference")
    head, *lines = found.lines
    print(f"\n{tabulate(lines, headers=head, disable_numparse=True)}\n")
    print("\n".join(found.notes))
    return 0
