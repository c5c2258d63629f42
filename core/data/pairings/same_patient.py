"""The other view from another study of the same patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.config import PairingConfig, setting
from core.data.pairings.base import PAIRINGS, Pairs
from core.data.pairings.draws import SINGLE, one_of_view, pairs_of, shuffled_images, study_of_image, two_views
from core.data.store import StudyTable
from core.data.types import Ints, View
from core.errors import check_choice


@dataclass
class SamePatientConfig(PairingConfig):
    """Settings of `same_patient`."""

    name: str = setting("same_patient", "the other view from another study of the same patient")
    fallback: str = setting("same_study", "a study without such a partner: same_study (as that strategy) | drop")

    def __post_init__(self) -> None:
        check_choice("pairing.fallback", self.fallback, ("same_study", "drop"))


def partner_of_view(table: StudyTable, rng: np.random.Generator, view: View) -> Ints:
    """[S] int64, a random image of `view` in another study of the same patient; -1 where there is none."""
    patient, study = table.patients, study_of_image(table)
    images = np.flatnonzero(table.view == view)
    # Sorted by patient and then by study, a study's own images are one block inside its patient's block.
    images = images[np.lexsort((study[images], patient[study[images]]))]
    of_study = np.bincount(study[images], minlength=table.n_studies)
    of_patient = np.bincount(patient[study[images]], minlength=patient.max(initial=-1) + 1)
    by_patient = np.lexsort((np.arange(table.n_studies), patient))
    own = np.empty(table.n_studies, dtype=np.int64)
    own[by_patient] = np.cumsum(of_study[by_patient]) - of_study[by_patient]
    first = (np.cumsum(of_patient) - of_patient)[patient]
    others = of_patient[patient] - of_study
    chosen = first + rng.integers(0, np.maximum(others, 1))
    chosen += np.where(chosen >= own, of_study, 0)
    found = np.full(table.n_studies, -1, dtype=np.int64)
    found[others > 0] = images[chosen[others > 0]]
    return found


@PAIRINGS.register("same_patient", config=SamePatientConfig)
class SamePatient:
    """A frontal and a lateral of two studies of one patient, the anchor's own view drawn at random."""

    within_study = False

    def __init__(self, config: SamePatientConfig) -> None:
        self.config = config

    def draw(self, table: StudyTable, rng: np.random.Generator) -> Pairs:
        """One row a study: (own view, other view of another visit), else what the fallback says."""
        images, both = two_views(table, rng)
        order = shuffled_images(table, rng)
        # [S, 2, 2]: option 0 is (own frontal, other visit's lateral), option 1 the reverse.
        options = np.stack(
            [
                np.stack([one_of_view(table, order, own), partner_of_view(table, rng, other)], axis=1)
                for own, other in ((View.FRONTAL, View.LATERAL), (View.LATERAL, View.FRONTAL))
            ],
            axis=1,
        )
        possible = options.min(axis=2) >= 0
        coin = rng.integers(0, 2, table.n_studies)
        option = np.where(possible[:, 0] & possible[:, 1], coin, possible[:, 1])
        found = possible[:, 0] | possible[:, 1]
        images[found] = options[np.arange(table.n_studies), option][found]
        kind = np.where(both, "frontal-lateral, same study", SINGLE)
        kind = np.where(found, "frontal-lateral, same patient, other study", kind)
        return pairs_of(images, found | both, kind, found | (self.config.fallback == "same_study"))
