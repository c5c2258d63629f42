"""The images of `same_study` without any pair: unstructured pre-training at equal compute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.config import PairingConfig, setting
from core.data.pairings.base import PAIRINGS, Pairs
from core.data.pairings.draws import SINGLE, UNPAIRED, kept, pairs_of, two_views
from core.data.store import StudyTable
from core.errors import check_choice


@dataclass
class NoneConfig(PairingConfig):
    """Settings of `none`."""

    name: str = setting("none", "the images of same_study without alignment")
    unpaired: str = setting("keep", "a study without both views: keep | drop, as in same_study")

    def __post_init__(self) -> None:
        check_choice("pairing.unpaired", self.unpaired, UNPAIRED)


@PAIRINGS.register("none", config=NoneConfig, source="He et al. 2021 (MAE) on the images of arXiv 2507.02987")
class NoPairing:
    """The very images that same_study shows at this seed, none of them a positive pair."""

    within_study = True

    def __init__(self, config: NoneConfig) -> None:
        self.config = config

    def draw(self, table: StudyTable, rng: np.random.Generator) -> Pairs:
        """One row a study, as same_study draws it, never aligned."""
        images, both = two_views(table, rng)
        kind = np.where(both, "two views, not paired", SINGLE)
        return pairs_of(images, np.zeros_like(both), kind, kept(both, self.config.unpaired))
