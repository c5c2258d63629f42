"""What makes a trial that trial: hashes of what changes its result, and the version of the code."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.compose import trial_to_dict
from core.config import TrialConfig
from core.data.build import data_key
from core.evaluation.base import EVALUATIONS
from core.io import canonical_hash
from core.measures.base import MEASURES
from core.weights_file import initial_identity

RESULT_FIELDS = ("augment", "pairing", "method", "model", "optim", "train", "seed")


def result_config(config: TrialConfig) -> dict[str, Any]:
    """The part of a trial's config that changes its result: never paths or evaluation.

    Engine, runtime and the rest of the loader only where the trial's measure says so (how fast, not what is learned).
    Initial weights by their content, where there are any.
    """
    plain = trial_to_dict(config)
    chosen = {name: plain[name] for name in RESULT_FIELDS}
    if config.optim.final_weight_decay is None:
        # Trials of before there was such a setting keep their ids.
        chosen["optim"] = {key: value for key, value in plain["optim"].items() if key != "final_weight_decay"}
    chosen |= _curation(config)
    chosen |= {"data": data_key(config.data), "loader.backend": config.loader.backend}
    chosen |= initial_identity(config.init)
    return chosen | {key: _at(plain, key) for key in identity_keys(config)}


def _curation(config: TrialConfig) -> dict[str, Any]:
    """Curation and batches where they are not the default, so that trials of before there were any keep their ids."""
    chosen: dict[str, Any] = {}
    if config.curation is not None and not config.curation.is_default():
        chosen["curation"] = config.curation.identity()
    if config.batches is not None and config.batches.name != "random":
        chosen["batches"] = asdict(config.batches)
    return chosen


def identity_keys(config: TrialConfig) -> tuple[str, ...]:
    """Dotted keys that the trial's measure adds to what makes a trial that trial."""
    if config.measure is None:
        return ()
    keys: tuple[str, ...] = MEASURES.get(config.measure.name).build.identity
    return keys


def _at(plain: dict[str, Any], key: str) -> Any:
    return functools.reduce(lambda node, name: node[name], key.split("."), plain)


def trial_ids(config: TrialConfig, seeds: Iterable[int]) -> list[str]:
    """Ids of the trials that differ from `config` in their seed alone."""
    fixed = result_config(config)
    return [canonical_hash({**fixed, "seed": seed}, 16) for seed in seeds]


def trial_id(config: TrialConfig) -> str:
    """16 hex digits of the hash of everything that changes the trial's result."""
    return trial_ids(config, [config.seed])[0]


def evaluation_key(config: TrialConfig) -> str:
    """8 hex digits of the hash of the settings of the evaluations that run.

    Those of others are left out: results stay what they are when an evaluation is added or one that is off is set.
    The probe's always count, because evaluations that train a linear model on features take its settings.
    """
    plain = trial_to_dict(config)["evaluation"]
    off = set(EVALUATIONS.names()) - {*config.evaluation.chosen, "probe"}
    kept = {name: value for name, value in plain.items() if name not in off}
    return canonical_hash({**kept, "run": sorted(config.evaluation.chosen)}, 8)


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one dict with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(saved: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """'field: saved -> wanted' for every field in which two nested configs differ."""
    before, after = flatten(saved), flatten(wanted)
    return [
        f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key, "absent") != after.get(key, "absent")
    ]


@functools.cache
def code_version() -> str:
    """The commit of the checkout, with "+changes" where files differ from it; "unknown" outside git."""
    root = Path(__file__).resolve().parents[1]

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True).stdout

    try:
        commit = git("rev-parse", "HEAD").strip()[:12]
        changed = git("status", "--porcelain", "--untracked-files=no").strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+changes" if changed else "")
