"""What a curation is: it decides on which studies a trial trains, and to which clusters they belong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from core.config import CurationConfig
from core.data.store import StudyTable
from core.data.types import Bools, Floats, Ints
from core.registry import Registry

STREAM = 0xC0


@dataclass(frozen=True)
class Curated:
    """The studies of a training split that a trial trains on.

    studies: [S] bool. clusters: [T, S] int64, the cluster of every study on each of T levels, the finest first.
    seconds: what it cost the process that found out, since it was last started.
    """

    studies: Bools
    clusters: Ints
    seconds: float = 0.0


@dataclass(frozen=True)
class CurationContext:
    """What a curation may use.

    table: the training split. seed: the trial's. folder: to keep what must not be done twice. embed: trains an encoder
    for so many epochs, on all studies, and gives every study's embedding [S, D] float32.
    """

    table: StudyTable
    seed: int
    folder: Path
    embed: Callable[[int], Floats]

    def rng(self) -> np.random.Generator:
        """Random numbers of the trial's seed."""
        return np.random.default_rng([self.seed, 0, STREAM])

    def count(self, keep: float) -> int:
        """How many studies a share of them is; at least one."""
        return max(1, round(keep * self.table.n_studies))


class Curation(Protocol):
    """Built as `Curation(config)`."""

    def choose(self, context: CurationContext) -> Curated:
        """Choose studies; a function of the table, the seed and the settings. Raises UserError where it cannot."""


CURATIONS: Registry[type[Curation]] = Registry("curation", "core.curation.kinds")

__all__ = ["CURATIONS", "Curated", "Curation", "CurationConfig", "CurationContext"]
