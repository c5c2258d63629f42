"""Random draws that pairing strategies share, each vectorised over all studies of a split."""

from __future__ import annotations

import numpy as np

from core.data.pairings.base import Pairs
from core.data.store import StudyTable
from core.data.types import Bools, Ints, Strings, View

SINGLE = "single view"
UNPAIRED = ("keep", "drop")


def study_of_image(table: StudyTable) -> Ints:
    """[I] int64, the study row of each image row."""
    return np.repeat(np.arange(table.n_studies), np.diff(table.start))


def shuffled_images(table: StudyTable, rng: np.random.Generator) -> Ints:
    """[I] int64, image rows with the order inside each study shuffled; `table.start` still bounds them."""
    return np.lexsort((rng.random(table.n_images), study_of_image(table)))


def one_of_view(table: StudyTable, order: Ints, view: View) -> Ints:
    """[S] int64, the last image of `view` in each study in the given order of images; -1 where it has none."""
    chosen = order[table.view[order] == view]
    last = np.full(table.n_studies, -1, dtype=np.int64)
    # Of repeated indices the last assignment stays.
    last[study_of_image(table)[chosen]] = chosen
    return last


def two_views(table: StudyTable, rng: np.random.Generator) -> tuple[Ints, Bools]:
    """A random frontal and a random lateral of each study, else any one image of it.

    Returns images [S, 2] int64 (-1 = empty, slot 0 never is) and [S] bool, whether both views are there.
    """
    order = shuffled_images(table, rng)
    images = np.stack([one_of_view(table, order, view) for view in (View.FRONTAL, View.LATERAL)], axis=1)
    both = images.min(axis=1) >= 0
    images[~both, 0] = order[table.start[:-1]][~both]
    images[~both, 1] = -1
    return images, both


def pairs_of(images: Ints, aligned: Bools, kind: Strings, keep: Bools) -> Pairs:
    """`Pairs` of the studies that `keep` [S] selects."""
    anchor = np.flatnonzero(keep)
    return Pairs(anchor, images[anchor], aligned[anchor], kind[anchor])


def kept(both: Bools, unpaired: str) -> Bools:
    """[S] bool, the studies that stay when unpaired ones are to `keep` or `drop`."""
    return both | (unpaired == "keep")
