"""One frontal and one lateral of one study."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.config import PairingConfig, setting
from core.data.pairings.base import PAIRINGS, Pairs
from core.data.pairings.draws import SINGLE, UNPAIRED, kept, pairs_of, two_views
from core.data.store import StudyTable
from core.errors import check_choice


@dataclass
class SameStudyConfig(PairingConfig):
    """Settings of `same_study`."""

    name: str = setting("same_study", "one frontal and one lateral of one study")
    unpaired: str = setting("keep", "a study without both views: keep (one image, no alignment term) | drop")

    def __post_init__(self) -> None:
        check_choice("pairing.unpaired", self.unpaired, UNPAIRED)


@PAIRINGS.register("same_study", config=SameStudyConfig, source="arXiv 2507.02987, section 3")
class SameStudy:
    """A frontal and a lateral of one study, drawn anew each epoch."""

    within_study = True

    def __init__(self, config: SameStudyConfig) -> None:
        self.config = config

    def draw(self, table: StudyTable, rng: np.random.Generator) -> Pairs:
        """One row a study: (frontal, lateral), or one image where a view is missing."""
        images, both = two_views(table, rng)
        kind = np.where(both, "frontal-lateral, same study", SINGLE)
        return pairs_of(images, both, kind, kept(both, self.config.unpaired))
