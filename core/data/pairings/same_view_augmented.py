"""Two augmentations of one image: the structure of the study is ignored, invariance is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.config import PairingConfig, setting
from core.data.pairings.base import PAIRINGS, Pairs
from core.data.pairings.draws import shuffled_images
from core.data.store import StudyTable


@dataclass
class SameViewAugmentedConfig(PairingConfig):
    """Settings of `same_view_augmented`."""

    name: str = setting("same_view_augmented", "two augmentations of one image")


@PAIRINGS.register("same_view_augmented", config=SameViewAugmentedConfig)
class SameViewAugmented:
    """One random image of each study, in both slots; the augmentation makes them differ."""

    within_study = True

    def __init__(self, config: SameViewAugmentedConfig) -> None:
        self.config = config

    def draw(self, table: StudyTable, rng: np.random.Generator) -> Pairs:
        """One row a study: the same image twice."""
        chosen = shuffled_images(table, rng)[table.start[:-1]]
        studies = table.n_studies
        kind = np.full(studies, "one image, two augmentations")
        return Pairs(np.arange(studies), np.stack([chosen, chosen], axis=1), np.ones(studies, dtype=bool), kind)
