"""What a sweep will cost: images x epochs, and seconds where there are finished trials to measure by."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.config import TrialConfig
from core.data.build import data_key
from core.data.store import open_store
from core.errors import DataError
from core.io import read_json
from core.measures.base import MEASURES
from sweeps.folders import trial_folder
from sweeps.status import read_status


@dataclass(frozen=True)
class Estimate:
    """images: that pass through the encoder in training, NaN while the data is not built.

    seconds: of one process, NaN while there is nothing to measure by. measured: finished trials it rests on.
    """

    images: float
    seconds: float
    measured: int


@dataclass(frozen=True)
class _Measured:
    """A finished trial: images trained on, seconds of training, seconds of all the rest (data, evaluation)."""

    method: str
    images: float
    training: float
    rest: float


def estimate(root: Path, missing: Mapping[str, TrialConfig], finished: Mapping[str, TrialConfig]) -> Estimate:
    """Estimate what `missing` trials cost from the costs of `finished` ones (each id -> config)."""
    sizes = {key: _training_split(root / "data" / key) for key in {data_key(c.data) for c in missing.values()}}
    images = {
        trial: MEASURES.build(config.measure).images(config, *sizes[data_key(config.data)])
        for trial, config in missing.items()
    }
    measured = [m for trial, config in finished.items() if (m := _measure(trial_folder(root, trial), config))]
    seconds = [_seconds(config, images[trial], measured) for trial, config in missing.items()]
    return Estimate(sum(images.values()), sum(seconds), len(measured))


def _training_split(folder: Path) -> tuple[float, float]:
    """Its images and studies."""
    if not folder.is_dir():
        return math.nan, math.nan
    try:
        table = open_store(folder).splits["train"]
    except DataError:
        # half built: the sweep builds the rest
        return math.nan, math.nan
    return float(table.n_images), float(table.n_studies)


def _measure(folder: Path, config: TrialConfig) -> _Measured | None:
    status = read_status(folder)
    try:
        cost = read_json(folder / "cost.json")
    except DataError:
        return None
    if status is None or status.state != "done":
        return None
    rest = max(0.0, status.seconds - cost["seconds"])
    return _Measured(config.method.name, cost["images"], cost["seconds"], rest)


def _seconds(config: TrialConfig, images: float, measured: list[_Measured]) -> float:
    """By the median of trials of the same method, or of all where there is none."""
    same = [m for m in measured if m.method == config.method.name] or measured
    if not same:
        return math.nan
    trained = [m.training / m.images for m in same if m.images] or [m.training / m.images for m in measured if m.images]
    per_image = statistics.median(trained) if trained else math.nan
    return statistics.median(m.rest for m in same) + (images * per_image if images else 0.0)
