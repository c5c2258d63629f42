"""viewpair data: build, check or describe a data set."""

from __future__ import annotations

import argparse
from pathlib import Path

from omegaconf import DictConfig

LINE = "build a data set's shards, check them and their films, or print its card"
PRIMARY = "trial"
ACTIONS = {
    "build": "build the shards, or mend those that are damaged",
    "check": "verify every byte; look for leaks over splits and odd films; write card/ with figures",
    "card": "print counts per split, view, label and site, and the pairs that each strategy forms",
}
EXAMPLES = (
    "data data=phantom",
    "data data=folder data.csv=/path/films.csv data.size=224",
    "data check data=mimic_cxr data.root=/path/mimic-cxr-jpg",
    "data card data=folder data.csv=/path/films.csv",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this verb."""
    parser.add_argument("--workers", type=int, default=0, help="processes that pack shards (default: one per core)")


def run(config: DictConfig, arguments: argparse.Namespace) -> int:
    """Do what the action says; the last line names the data set's folder."""
    from core.compose import to_trial
    from core.data.build import build, data_key
    from core.data.checks import data_card

    trial = to_trial(config)
    root = Path(trial.paths.root)
    folder = root / "data" / data_key(trial.data)
    if arguments.action == "build":
        store = build(trial.data, root, arguments.workers)
        counts = ", ".join(f"{split} {table.n_studies}" for split, table in store.splits.items())
        print(f"built {store.name} at {store.size} px; studies: {counts}")
    elif arguments.action == "check":
        print_check(folder)
    else:
        print(data_card(folder))
    print(folder)
    return 0


def print_check(folder: Path) -> None:
    """Verify a built data set, write its card and print what a person should look at."""
    from analysis.data_card import FILE, FOLDER, write_card
    from core.data.checks import check

    fingerprint = check(folder).fingerprint
    for finding in write_card(folder):
        print(finding.line())
    print(f"sound: {fingerprint}; the card: {folder / FOLDER / FILE}")
