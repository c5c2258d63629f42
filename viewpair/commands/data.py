"""viewpair data: build, check or describe a data set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

if TYPE_CHECKING:
    from sweeps.config import SweepConfig

LINE = "build a data set's shards, check them and their films, or print its card"
PRIMARY = "sweep"
ACTIONS = {
    "build": "build the shards, or mend those that are damaged",
    "check": "verify every byte; look for leaks over splits and odd films; write card/ with figures",
    "card": "print counts per split, view, label and site, and the pairs that each strategy forms",
}
EXAMPLES = (
    "data data=phantom",
    "data data=folder data.csv=/path/films.csv data.size=224",
    "data check data=mimic_cxr data.root=/path/mimic-cxr-jpg",
    "data build data=nih data.root=/path/nih launcher=slurm launcher.partition=cpu launcher.max_parallel=8",
    "data card data=folder data.csv=/path/films.csv",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this verb."""
    parser.add_argument("--workers", type=int, default=0, help="processes that decode films (default: one per core)")
    parser.add_argument("--wait", action="store_true", help="follow a build that runs elsewhere (SLURM) to its end")


def run(config: DictConfig, arguments: argparse.Namespace) -> int:
    """Do what the action says; the last line names the data set's folder."""
    from core.data.build import data_folder
    from core.data.checks import data_card
    from sweeps.config import to_sweep

    settings = to_sweep(config)
    folder = data_folder(settings.data, Path(settings.paths.root))
    if arguments.action == "build":
        print(built(settings, folder, arguments))
    elif arguments.action == "check":
        print_check(folder)
    else:
        print(data_card(folder))
    print(folder)
    return 0


def built(settings: SweepConfig, folder: Path, arguments: argparse.Namespace) -> str:
    """Build a data set where the launcher says; what became of it, or how far it is."""
    from core.data.store import open_store
    from sweeps.building import build_on, see_through

    building = build_on(settings.launcher, settings.data, Path(settings.paths.root), arguments.workers)
    if building is not None and not arguments.wait:
        return f"{building.describe()}\nhow far it is, or once more what failed: the same command again"
    if building is not None:
        print(building.describe(), flush=True)
        see_through(building)
    store = open_store(folder)
    counts = ", ".join(f"{split} {table.n_studies}" for split, table in store.splits.items())
    return f"built {store.name} at {store.size} px; studies: {counts}"


def print_check(folder: Path) -> None:
    """Verify a built data set, write its card and print what a person should look at."""
    from analysis.data_card import FILE, FOLDER, write_card
    from core.data.checks import check

    fingerprint = check(folder).fingerprint
    for finding in write_card(folder):
        print(finding.line())
    print(f"sound: {fingerprint}; the card: {folder / FOLDER / FILE}")
