"""Several images of one study in any combination of views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.config import PairingConfig, setting
from core.data.pairings.base import PAIRINGS, Pairs
from core.data.pairings.draws import SINGLE, shuffled_images
from core.data.store import StudyTable
from core.data.types import Ints, Strings, View
from core.errors import check_range


@dataclass
class SameStudyAnyConfig(PairingConfig):
    """Settings of `same_study_any`."""

    name: str = setting("same_study_any", "up to `images` images of a study in any combination")
    images: int = setting(3, "largest number of images of one study")

    def __post_init__(self) -> None:
        check_range("pairing.images", self.images, 2, 64)


def combination(view: Ints, present: Ints) -> Strings:
    """[S] str, the views [S, M] that are present in each row, as "frontal-lateral, same study"."""
    counts = [((view == code) & (present >= 0)).sum(axis=1) for code in View]
    # One number for each combination, since numpy sorts numbers far more quickly than rows.
    sizes = (view.shape[1] + 1,) * len(View)
    numbers, inverse = np.unique(np.ravel_multi_index(counts, sizes), return_inverse=True)
    names = []
    for row in zip(*np.unravel_index(numbers, sizes), strict=True):
        views = [code.label for code, count in zip(View, row, strict=True) for _ in range(count)]
        names.append("-".join(views) + ", same study" if len(views) > 1 else SINGLE)
    return np.array(names, dtype=str)[inverse]


@PAIRINGS.register("same_study_any", config=SameStudyAnyConfig, source="arXiv 2511.22294")
class SameStudyAny:
    """A random subset of each study's images; a study with one image is kept without an alignment term."""

    within_study = True

    def __init__(self, config: SameStudyAnyConfig) -> None:
        self.config = config

    def draw(self, table: StudyTable, rng: np.random.Generator) -> Pairs:
        """One row a study with as many slots filled as the study has images, up to `images`."""
        order = shuffled_images(table, rng)
        slot = np.arange(min(self.config.images, int(np.diff(table.start).max(initial=1))))
        place = table.start[:-1, None] + slot
        present = place < table.start[1:, None]
        images = np.where(present, order[np.minimum(place, table.n_images - 1)], -1)
        kind = combination(table.view[images], images)
        return Pairs(np.arange(table.n_studies), images, present.sum(axis=1) > 1, kind)
