"""AUROC of every label in every bootstrap resample of the patients, all resamples at once.

All studies of a patient are resampled together, and every trial is resampled with the same patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.counting import Blocks, Counts, half_pairs, in_blocks, walk
from core.data.types import Bools, Floats, Ints, Strings
from core.errors import check_choice, check_range

Doubles = NDArray[np.float64]
Scores = NDArray[np.floating[Any]]
INTERVALS = ("percentile", "bca")


@dataclass(frozen=True)
class BootstrapConfig:
    """resamples: number of bootstrap resamples. seed: of their random numbers. level: of the interval.

    interval: percentile, or bca (bias-corrected and accelerated). Raises ConfigError for fewer than 100 resamples,
    whose percentiles would say nothing.
    """

    resamples: int = 2000
    seed: int = 0
    level: float = 0.95
    interval: str = "percentile"

    def __post_init__(self) -> None:
        check_range("resamples", self.resamples, 100, 1_000_000)
        check_range("level", self.level, 0, 1, open_low=True, open_high=True)
        check_choice("interval", self.interval, INTERVALS)


@dataclass(frozen=True, eq=False)
class TestStudies:
    """The studies that every row of a table is measured on, all studies of a patient side by side.

    study_ids: [S] str. patient: [S] int64, ascending codes 0 .. P-1. labels: L names.
    truth: [S, L] float64: 1, 0, NaN where the label policy leaves the study out.
    """

    __test__ = False  # pytest would take the name for a test's

    study_ids: Strings
    patient: Ints
    labels: tuple[str, ...]
    truth: Doubles

    @property
    def n_studies(self) -> int:
        """Number of studies S."""
        return len(self.study_ids)

    @property
    def n_patients(self) -> int:
        """Number of patients P."""
        return int(self.patient[-1]) + 1 if len(self.patient) else 0

    def counts(self, label: int) -> tuple[int, int]:
        """Studies where a label is known, and those of them where it is positive."""
        truth = self.truth[:, label]
        return int(np.isfinite(truth).sum()), int((truth == 1).sum())

    def same_as(self, other: TestStudies) -> bool:
        """Whether both are the same studies of the same patients with the same true labels."""
        return self is other or (
            self.labels == other.labels
            and np.array_equal(self.study_ids, other.study_ids)
            and np.array_equal(self.patient, other.patient)
            and _same(self.truth, other.truth)
        )


def _same(first: Doubles, second: Doubles) -> bool:
    # Truths that are equal are nearly always so to the byte, which is seen in a tenth of the time.
    return first.tobytes() == second.tobytes() or np.array_equal(first, second, equal_nan=True)


@lru_cache(maxsize=4)
def patient_weights(n_patients: int, config: BootstrapConfig) -> Counts:
    """How often each patient is in each resample: [P, R], R = 1 + resamples; column 0 is the sample itself (ones).

    For BCa, P columns follow that leave one patient out each: the jackknife that the acceleration needs. Drawn once
    for all that is resampled alike; not to be written to.
    """
    rng = np.random.default_rng([0xB007, config.seed])
    drawn = rng.multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=config.resamples)
    parts = [np.ones((1, n_patients)), drawn]
    parts += [1 - np.eye(n_patients)] if config.interval == "bca" else []
    weights: Counts = np.ascontiguousarray(np.concatenate(parts).T, dtype=np.uint8)
    weights.flags.writeable = False
    return weights


class LabelResampler:
    """Resamples the AUROC of one label, whatever the scores."""

    def __init__(self, truth: Doubles, patient: Ints, weights: Floats, blocks: Blocks) -> None:
        """truth: [S] 1, 0 or NaN (left out). patient: [S]. weights: [P, R] counts; blocks: the same `in_blocks`."""
        # Counts as float32, of which sums are exact up to 16 million studies: integers are multiplied 10 times slower.
        self._known = np.flatnonzero(np.isfinite(truth))
        self._positive, self._patient = truth[self._known] == 1, patient[self._known]
        self._blocks = blocks
        ups, downs = (
            np.bincount(self._patient[rows], minlength=len(weights)).astype(np.float32) @ weights
            for rows in (self._positive, self._negative)
        )
        self._pairs = ups.astype(np.float64) * downs

    @property
    def _negative(self) -> Bools:
        negative: Bools = ~self._positive
        return negative

    @property
    def is_defined(self) -> bool:
        """Whether the test studies hold both classes."""
        return bool(self._positive.any() and self._negative.any())

    def auroc(self, scores: Scores, share: Doubles) -> Doubles:
        """AUROC in every resample, averaged over draws: [R] float64, NaN where a resample holds one class.

        scores: [D, S], a row per draw. share: [D], weight of each draw, sum 1. Needs `is_defined`.
        """
        right = np.zeros(len(self._pairs))
        for row, part in zip(scores, share, strict=True):
            walked = walk(row[self._known], self._positive, self._patient)
            right += part / 2 * half_pairs(walked, self._blocks)[: len(right)]
        nothing = np.full(len(right), np.nan)
        resampled: Doubles = np.divide(right, self._pairs, out=nothing, where=self._pairs > 0)
        return resampled


@dataclass(frozen=True)
class LabelResamples:
    """AUROC of every label in every resample, for one seed.

    values: [R, L], NaN where undefined. weight: [L], of each label in the macro average; 0 = never defined.
    """

    values: Doubles
    weight: Doubles

    @property
    def macro(self) -> Doubles:
        """Macro AUROC in every resample, [R]: mean over the labels that are defined there."""
        known = np.isfinite(self.values) * self.weight
        total = known.sum(axis=1)
        summed = np.where(known > 0, self.values, 0.0) * known
        macro: Doubles = np.divide(summed.sum(axis=1), total, out=np.full(len(total), np.nan), where=total > 0)
        return macro


class Resampler:
    """Resamples the patients of a set of test studies: the same resamples for every trial."""

    def __init__(self, studies: TestStudies, config: BootstrapConfig) -> None:
        self.studies, self.config = studies, config
        weights = patient_weights(studies.n_patients, config)
        self._resamples = weights.shape[1]
        blocks = in_blocks(weights)
        counts = weights.astype(np.float32)
        self._labels = [LabelResampler(truth, studies.patient, counts, blocks) for truth in studies.truth.T]

    def labels(self, scores: Scores) -> LabelResamples:
        """AUROC of every label in every resample, averaged over draws.

        scores: [D, S, L] probabilities; NaN where a draw gives none for the label (its training labels had one
        class). Such a (draw, label) is left out, as is a label of which the test studies have one class, so that
        row 0 of `.macro` is the mean over draws of each draw's macro AUROC.
        """
        share = self._shares(scores)
        weight = share.sum(axis=0)
        # A column a label, each in one piece: it is written and read as a whole.
        values = np.full((len(weight), self._resamples), np.nan).T
        for label in np.flatnonzero(weight):
            used = share[:, label] > 0
            part = share[used, label] / weight[label]
            values[:, label] = self._labels[label].auroc(scores[used, :, label], part)
        return LabelResamples(values, weight)

    def _shares(self, scores: Scores) -> Doubles:
        # [D, L]: each draw's macro is a mean over its labels, and the draws that have any count alike.
        two_classes = np.array([label.is_defined for label in self._labels])
        predicted = (np.isfinite(scores) | np.isnan(self.studies.truth)).all(axis=1)
        defined = np.logical_and(predicted, two_classes)
        in_draw = defined.sum(axis=1, keepdims=True)
        draws = max(1, int((in_draw > 0).sum()))
        share: Doubles = np.divide(defined, in_draw * draws, out=np.zeros(defined.shape), where=in_draw > 0)
        return share
