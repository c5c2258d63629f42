"""The other view from a random other patient: the control in which structure is destroyed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.config import PairingConfig, setting
from core.data.pairings.base import PAIRINGS, Pairs
from core.data.pairings.draws import SINGLE, UNPAIRED, kept, pairs_of, two_views
from core.data.store import StudyTable
from core.data.types import Ints
from core.errors import check_choice


@dataclass
class RandomConfig(PairingConfig):
    """Settings of `random`."""

    name: str = setting("random", "the other view from a random other patient")
    unpaired: str = setting("keep", "a study without both views: keep | drop, as in same_study")

    def __post_init__(self) -> None:
        check_choice("pairing.unpaired", self.unpaired, UNPAIRED)


def other_patients(patients: Ints, rng: np.random.Generator) -> Ints:
    """A random permutation [S] that sends each study to one of another patient, wherever that is possible.

    patients: [S] int64, any numbers.

    Studies stand in a circle, patients in random order and each patient's studies together. A turn by at least
    the longest run, and by at most S less it, moves every study out of its own run.
    """
    _, patient = np.unique(patients, return_inverse=True)
    place = rng.permutation(patient.max(initial=-1) + 1)
    circle = np.lexsort((rng.random(len(patient)), place[patient]))
    longest, studies = int(np.bincount(patient).max(initial=0)), len(patient)
    turn = int(rng.integers(longest, studies - longest + 1)) if studies >= 2 * longest else studies // 2
    partner = np.empty(studies, dtype=np.int64)
    partner[circle] = np.roll(circle, turn)
    return partner


@PAIRINGS.register("random", config=RandomConfig)
class RandomPatient:
    """The very images that same_study shows at this seed, each frontal with another patient's lateral."""

    within_study = False

    def __init__(self, config: RandomConfig) -> None:
        self.config = config

    def draw(self, table: StudyTable, rng: np.random.Generator) -> Pairs:
        """One row a study: (own frontal, another patient's lateral), or one image where a view is missing."""
        images, both = two_views(table, rng)
        rows = np.flatnonzero(both)
        partner = rows[other_patients(table.patients[rows], rng)]
        alone = table.patients[partner] == table.patients[rows]
        images[rows, 1] = np.where(alone, -1, images[partner, 1])
        aligned = both.copy()
        aligned[rows[alone]] = False
        kind = np.where(aligned, "frontal-lateral, random other patient", SINGLE)
        return pairs_of(images, aligned, kind, kept(both, self.config.unpaired))
