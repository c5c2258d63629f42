"""Frozen features: every image of every split encoded exactly once, then averaged per study and per view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from core.data.store import StudyStore, StudyTable
from core.data.types import Bools, Floats, Ints, View
from core.errors import CheckpointError, check_choice
from core.evaluation.config import EvaluationConfig
from core.progress import Progress

if TYPE_CHECKING:
    from core.methods.base import Method

# At which level a study's feature is formed: over all its images, or over those of one view.
LEVELS: Mapping[str, View | None] = {"study": None, "frontal": View.FRONTAL, "lateral": View.LATERAL}


@dataclass(frozen=True)
class SplitFeatures:
    """Features of one split.

    image: [I, D] float32, in image-row order. view: [I] int64, `View` values. study: [I] int64, the study
    row of each image, ascending. n_studies: S.
    """

    image: Floats
    view: Ints
    study: Ints
    n_studies: int

    def at(self, level: str) -> tuple[Floats, Bools]:
        """Study features [S, D] float32 and [S] bool, which studies have one (the others' rows are zero).

        level "study": the mean over all images of a study; "frontal", "lateral": over those of that view.
        """
        check_choice("view", level, LEVELS)
        view = LEVELS[level]
        images = np.arange(len(self.view)) if view is None else np.flatnonzero(self.view == view)
        return self._mean(images)

    def _mean(self, images: Ints) -> tuple[Floats, Bools]:
        means = np.zeros((self.n_studies, self.image.shape[1]), np.float32)
        present = np.zeros(self.n_studies, np.bool_)
        if len(images):
            rows, first, counts = np.unique(self.study[images], return_index=True, return_counts=True)
            sums = np.add.reduceat(self.image[images], first, axis=0, dtype=np.float64)
            means[rows] = sums / counts[:, None]
            present[rows] = True
        return means, present


@dataclass(frozen=True)
class Features:
    """Features of every split, by the split's name."""

    splits: Mapping[str, SplitFeatures]

    def __getitem__(self, split: str) -> SplitFeatures:
        return self.splits[split]


def extract(store: StudyStore, method: Method, config: EvaluationConfig, device: str) -> Features:
    """Encode each image of each split once, `config.batch_size` at a time, full image, no augmentation.

    Raises CheckpointError when the encoder gives a feature that is not finite.
    """
    total = sum(table.n_images for table in store.splits.values())
    with Progress("features", total, unit="images") as progress:
        return Features({k: _extract_split(t, method, config, device, progress) for k, t in store.splits.items()})


def _extract_split(
    table: StudyTable, method: Method, config: EvaluationConfig, device: str, progress: Progress
) -> SplitFeatures:
    image = np.empty((table.n_images, method.encoder.width), np.float32)
    for start in range(0, table.n_images, config.batch_size):
        rows = np.arange(start, min(start + config.batch_size, table.n_images))
        image[rows] = _embed(table, rows, method, config.pool, device)
        progress.advance(len(rows))
    broken = int((~np.isfinite(image).all(axis=1)).sum())
    if broken:
        raise CheckpointError(
            f"the encoder gives features that are not finite for {broken} of {table.n_images} {table.split} images",
            "its weights are broken: train the trial again, with a lower optim.base_lr or train.precision=fp32",
        )
    study = np.repeat(np.arange(table.n_studies), np.diff(table.start))
    return SplitFeatures(image, table.view, study, table.n_studies)


def _embed(table: StudyTable, rows: Ints, method: Method, pool: str, device: str) -> Floats:
    pixels = torch.from_numpy(np.ascontiguousarray(table.pixels.read(rows))).unsqueeze(1).to(device)
    view = torch.from_numpy(table.view[rows]).to(device)
    with torch.inference_mode():
        features = method.encoder.embed(pixels, view, pool)
    found: Floats = features.float().cpu().numpy()
    return found
