"""`viewpair evaluate`: measure a trained trial's encoder and print the main metrics."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from core.errors import CheckpointError, ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd

    from core.config import TrialConfig
    from core.results import Result

LINE = "measure a trained trial: probe, k-NN, retrieval, effective rank; prints a table"
PRIMARY = "trial"
EXAMPLES = (
    "evaluate method=mvmae method.mask_ratio=0.9",
    "evaluate --trial outputs/trials/0123456789abcdef evaluation.label_policy=ignore",
)

# What may differ from the saved config of a trial that is named by its folder.
CHANGEABLE = ("evaluation", "runtime", "paths")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's flags."""
    parser.add_argument("--trial", type=Path, metavar="FOLDER", help="a trained trial's folder; its config is used")
    parser.add_argument("--again", action="store_true", help="measure again although there is a result")


def run(config: DictConfig, arguments: argparse.Namespace) -> int:
    """Evaluate the trial that a folder or the overrides name."""
    from core.compose import to_trial
    from core.identity import trial_id
    from sweeps.folders import trial_folder

    trial = saved_trial(arguments.trial, config, arguments.overrides) if arguments.trial else to_trial(config)
    folder = arguments.trial or trial_folder(Path(trial.paths.root), trial_id(trial))
    check_trained(folder, trial_id(trial))
    result = None if arguments.again else known_result(folder, trial)
    result = result or measure(folder, trial)
    print(table(result))
    print(f"\nresult: {result.folder / 'result.json'}")
    return 0


def check_trained(folder: Path, trial: str) -> None:
    """Raise CheckpointError unless `folder` holds a trained trial."""
    from core.weights_file import MODEL_FILE

    if not (folder / MODEL_FILE).is_file():
        raise CheckpointError(
            f"trial {trial} is not trained: there is no {folder / MODEL_FILE}",
            "run viewpair train with the same overrides first",
        )


def saved_trial(folder: Path, config: DictConfig, overrides: list[str]) -> TrialConfig:
    """The config that a trial was trained with, under overrides of its evaluation, runtime and paths.

    Raises ConfigError for an override of anything else, or when the saved config now means another trial.
    """
    from core.compose import trial_from_dict
    from core.identity import trial_id
    from core.io import read_json

    if not (folder / "config.json").is_file():
        raise ConfigError(f"{folder} is no trial's folder: it has no config.json", "give one under <root>/trials")
    record = read_json(folder / "config.json")
    saved: dict[str, Any] = record["config"]
    for override in overrides:
        _change(saved, override, config)
    trial = trial_from_dict(saved)
    if trial_id(trial) != record["trial"]:
        raise ConfigError(
            f"{folder} holds trial {record['trial']}, but its config now means trial {trial_id(trial)}",
            "the data set's tables or the code have changed since it was trained: train it again",
        )
    return trial


def _change(saved: dict[str, Any], override: str, config: DictConfig) -> None:
    key = override.lstrip("+~").split("=", 1)[0]
    *parents, last = key.split(".")
    if not parents or parents[0] not in CHANGEABLE:
        raise ConfigError(
            f"{override} cannot change a trial that is trained",
            f"with --trial, give only overrides of {', '.join(f'{c}.*' for c in CHANGEABLE)}",
        )
    node = saved
    for parent in parents:
        node = node.setdefault(parent, {})
    value = OmegaConf.select(config, key)
    node[last] = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def known_result(folder: Path, trial: TrialConfig) -> Result | None:
    """The trial's result under these settings, or None where there is none that is whole."""
    from core.results import read_result, result_folder

    try:
        return read_result(result_folder(folder, trial))
    except DataError:
        return None


def measure(folder: Path, trial: TrialConfig) -> Result:
    """Evaluate a trained trial and write its result. Raises BusyError while another process works on it."""
    import torch

    from core.data.build import prepare
    from core.evaluation.evaluate import evaluate
    from core.results import read_result, write_result
    from core.trainer import load_method, pick_device
    from sweeps.lease import hold

    if trial.runtime.threads:
        torch.set_num_threads(trial.runtime.threads)
    store = prepare(trial.data, Path(trial.paths.root))
    device = pick_device(trial.runtime.device)
    with hold(folder):
        evaluated = evaluate(trial, store, load_method(trial, store, folder, device), device)
        return read_result(write_result(folder, trial, store, evaluated).parent)


def table(result: Result) -> str:
    """The main metrics as plain text: macros, then what has no label, then what was skipped."""
    frame = result.frame()
    parts = [
        f"trial {result.trial}, seed {result.seed}, label policy {result.label_policy}",
        _macros(frame[frame.metric.str.startswith("macro_")]),
        _others(frame[(frame.label == "") & ~frame.metric.str.startswith("macro_") & frame.label_fraction.isna()]),
        *(f"skipped {name}: {reason}" for name, reason in sorted(result.skipped.items())),
    ]
    return "\n\n".join(part for part in parts if part)


def _macros(frame: pd.DataFrame) -> str:
    # One row a fraction: the mean over its draws. "labels" is the least number of labels that a draw is over.
    rows = []
    for _, group in frame.groupby(["evaluation", "view", "label_fraction"], sort=False):
        first = group.iloc[0]
        means = group.groupby("metric").value.mean()
        numbers = [means.get(f"macro_{name}", float("nan")) for name in ("auroc", "ap", "brier")]
        where = [first.evaluation, first["view"], f"{100 * first.label_fraction:g} %"]
        rows.append([*where, group.draw.nunique(), group.n.min(), *numbers])
    where = ["evaluation", "view", "label fraction", "draws", "labels"]
    return _plain([*where, "macro AUROC", "macro AP", "macro Brier"], rows)


def _others(frame: pd.DataFrame) -> str:
    columns = ["evaluation", "view", "metric", "n", "value"]
    return _plain(columns, frame[columns].values.tolist())


def _plain(headers: list[str], rows: list[list[Any]]) -> str:
    from tabulate import tabulate

    return tabulate(rows, headers=headers, floatfmt=".3f") if rows else ""
