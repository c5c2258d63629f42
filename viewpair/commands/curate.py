"""viewpair curate: cluster embeddings into a tree and draw a balanced subset."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

if TYPE_CHECKING:
    from core.config import TrialConfig
    from core.curation.files import Source

    # of the folder of this curation, in which something may be kept
    Open = Callable[[Path], Source]

LINE = "cluster embeddings into a tree, draw a balanced subset and its balance"
PRIMARY = "trial"
EXAMPLES = (
    "curate method=mvmae curation.levels=[300,30] curation.keep=0.2",
    "curate --embeddings features.npy curation.levels=[100x100,1000,100]",
    "curate --embeddings features.parquet --column embedding --id study_id",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this verb."""
    parser.add_argument("--embeddings", type=Path, metavar="FILE", help="a .npy matrix or a Parquet table")
    parser.add_argument("--column", default="embedding", help="the table's column of embeddings (default embedding)")
    parser.add_argument("--id", default="", help="the table's column of ids (default: numbers of rows)")
    parser.add_argument("--trial", type=Path, metavar="FOLDER", help="without a file: the trial whose encoder embeds")


def checked(overrides: list[str]) -> list[str]:
    """This verb builds a tree, whatever the trial does."""
    return ["curation=tree", *overrides]


def run(config: DictConfig, arguments: argparse.Namespace) -> int:
    """Curate a file of embeddings, or the training studies as a trained encoder sees them; prints the balance."""
    from tabulate import tabulate

    from analysis.balance import draw_balance
    from core.compose import to_trial
    from core.curation.files import CLUSTERS, SUBSET, curate_files, curation_folder
    from core.curation.kinds.tree import TreeConfig
    from core.errors import require
    from core.io import write_json

    trial = to_trial(config)
    tree, root = trial.curation, Path(trial.paths.root)
    require(isinstance(tree, TreeConfig), f"viewpair curate builds a tree, and curation={tree.name} is none")
    key, opened = of_file(arguments) if arguments.embeddings else of_trial(config, arguments)
    folder = curation_folder(root, key, tree, trial.seed)
    rows = curate_files(opened(folder), tree, trial.seed, folder)
    print(tabulate([balance.row() for balance in rows], headers="keys", floatfmt=".3f"))
    write_json(folder / "balance.json", [balance.row() for balance in rows])
    print(f"\n{', '.join([CLUSTERS, SUBSET, *draw_balance(rows, folder)])}\n{folder}")
    return 0


def of_file(arguments: argparse.Namespace) -> tuple[str, Open]:
    """What identifies a file of embeddings, and what opens it."""
    from core.curation.embeddings import open_embeddings
    from core.curation.files import Source
    from core.errors import require
    from core.io import sha256_file

    file, column, name = arguments.embeddings, arguments.column, arguments.id
    require(file.is_file(), f"--embeddings {file} does not exist", "give a .npy matrix or a Parquet table")
    return f"{sha256_file(file)} {column}", lambda folder: Source(open_embeddings(file, column, name, folder))


def of_trial(config: DictConfig, arguments: argparse.Namespace) -> tuple[str, Open]:
    """What identifies a trained trial's encoder and its data, and what embeds its training studies."""
    from core.identity import trial_id
    from sweeps.folders import trial_folder
    from viewpair.commands.evaluate import check_trained, saved_trial

    trial = plain_trial(config)
    if arguments.trial:
        others = [o for o in arguments.overrides if not o.startswith("curation")]
        trial = saved_trial(arguments.trial, config, others)
    where = arguments.trial or trial_folder(Path(trial.paths.root), trial_id(trial))
    check_trained(where, trial_id(trial))
    return trial_id(trial), lambda folder: embedded(trial, where, folder)


def plain_trial(config: DictConfig) -> TrialConfig:
    """The trial that the overrides name, which trains on everything."""
    from core.compose import to_trial

    return replace(to_trial(config), curation=None, batches=None)


def embedded(trial: TrialConfig, where: Path, folder: Path) -> Source:
    """The training studies of a trial in `where` as its encoder sees them; kept in `folder` as embeddings.parquet."""
    from core.curation.embeddings import open_embeddings
    from core.curation.encoder import study_embeddings
    from core.curation.files import Source, write_embeddings
    from core.curation.kinds.metadata import GROUPS
    from core.data.build import prepare
    from core.trainer import load_method, pick_device

    store, device = prepare(trial.data, Path(trial.paths.root)), pick_device(trial.runtime.device)
    table = store.splits["train"]
    path = folder / "embeddings.parquet"
    if not path.exists():
        method = load_method(trial, store, where, device)
        write_embeddings(path, table.study_ids, study_embeddings(store, method, device))
    groups = {name: of(table) for name, of in GROUPS.items() if len(set(of(table).tolist())) > 1}
    return Source(open_embeddings(path, "embedding", "study_id", folder), groups)
