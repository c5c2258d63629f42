"""What a pairing strategy is: it decides which images meet in the alignment term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from core.config import PairingConfig
from core.data.store import StudyTable
from core.data.types import Bools, Ints, Strings
from core.registry import Registry


@dataclass(frozen=True)
class Pairs:
    """The draw of one epoch, one row an anchor study.

    anchor: [R] int64, study rows (a strategy that drops studies returns fewer than S; each at most once).
    images: [R, M] int64, image rows in each slot, -1 = empty; slot 0 is never empty.
    aligned: [R] bool: every two present slots are a positive pair.
    kind: [R] str, what was formed ("frontal-lateral, same study", "single view", ...), for the log.
    """

    anchor: Ints
    images: Ints
    aligned: Bools
    kind: Strings

    def counts(self, rows: Ints) -> dict[str, int]:
        """Positive pairs of each kind among `rows`; a kind that forms none counts its studies."""
        present = (self.images[rows] >= 0).sum(axis=1)
        number = np.where(self.aligned[rows], present * (present - 1) // 2, 1)
        kinds, place = np.unique(self.kind[rows], return_inverse=True)
        counts = np.bincount(place, weights=number).astype(np.int64)
        return dict(zip(kinds.tolist(), counts.tolist(), strict=True))


class Pairing(Protocol):
    """A strategy, built from its config. Every epoch's draw has the same anchors.

    within_study: whether it needs no other study than the anchor, so that it can be streamed.
    """

    within_study: bool

    def draw(self, table: StudyTable, rng: np.random.Generator) -> Pairs:
        """Draw one epoch's images and pairs, vectorised over all studies of the split."""


PAIRINGS: Registry[type[Pairing]] = Registry("pairing", "core.data.pairings")

__all__ = ["PAIRINGS", "Pairing", "PairingConfig", "Pairs"]
