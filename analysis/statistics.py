"""Macro AUROC with its uncertainty: a hierarchical bootstrap over seeds and patients.

All studies of a patient are resampled together, and every row of a table is resampled with the same patients
and the same seeds, so that the difference of two rows is a paired bootstrap at no further cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.types import Ints, Strings
from core.errors import check_range

Doubles = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True)
class BootstrapConfig:
    """resamples: number of bootstrap resamples. seed: of their random numbers. level: of the interval.

    Raises ConfigError for fewer than 100 resamples, whose percentiles would say nothing.
    """

    resamples: int = 2000
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        check_range("resamples", self.resamples, 100, 1_000_000)
        check_range("level", self.level, 0, 1, open_low=True, open_high=True)


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
        return (
            self.labels == other.labels
            and np.array_equal(self.study_ids, other.study_ids)
            and np.array_equal(self.patient, other.patient)
            and np.array_equal(self.truth, other.truth, equal_nan=True)
        )


@dataclass(frozen=True)
class Estimate:
    """A mean and its interval; NaN means undefined.

    covers: what the interval is over: "seeds and patients", "patients" (one seed), or "" (no interval).
    """

    mean: float
    low: float = float("nan")
    high: float = float("nan")
    covers: str = ""


def patient_weights(n_patients: int, config: BootstrapConfig) -> Singles:
    """How often each patient is in each resample: [P, 1 + resamples]; column 0 is the sample itself (ones)."""
    rng = np.random.default_rng([0xB007, config.seed])
    drawn = rng.multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=config.resamples)
    return np.ascontiguousarray(np.concatenate([np.ones((1, n_patients)), drawn]).T, dtype=np.float32)


def seed_weights(seeds: tuple[int, ...], config: BootstrapConfig) -> Doubles:
    """Share of each seed in each resample: [1 + resamples, n]; row 0 is the plain mean; rows sum to 1.

    Deviations from the plain mean are stretched by sqrt(n / (n - 1)), the rescaled bootstrap of Rao and Wu
    (1988): resampling n = 3 seeds as they are would understate the variance between seeds by a third.
    """
    n = len(seeds)
    plain = np.full(n, 1 / n)
    if n == 1:
        return np.ones((1 + config.resamples, 1))
    rng = np.random.default_rng([0x5EED, config.seed, *seeds])
    drawn = rng.multinomial(n, plain, size=config.resamples) / n
    return np.concatenate([plain[None], plain + np.sqrt(n / (n - 1)) * (drawn - plain)])


def ranked_right(scores: Doubles, share: Doubles, positive: Ints, negative: Ints) -> Singles:
    """[positives, negatives] float32: share of the draws that rank the positive above; a tie counts half."""
    right = np.full((len(positive), len(negative)), 0.5, dtype=np.float32)
    for row, part in zip(scores, share, strict=True):
        rank = np.unique(row, return_inverse=True)[1].astype(np.int32)
        right += np.float32(0.5 * part) * np.sign(rank[positive, None] - rank[None, negative])
    return right


class LabelResampler:
    """Resamples the AUROC of one label, whatever the scores.

    AUROC is the share of (positive, negative) pairs ranked right, a tie counting half. A resample only weighs
    the pairs by its patients' counts, so draws are averaged first, pairs are summed per pair of patients, and
    all resamples are one matrix product. For a few thousand studies this beats a weighted cumulative sum
    over sorted scores for every draw, and it is as exact.
    """

    def __init__(self, truth: Doubles, patient: Ints, weights: Singles) -> None:
        """truth: [S] 1, 0 or NaN (left out). patient: [S] ascending. weights: [P, R] counts of each patient."""
        self.positive, self.negative = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
        ups, self._up_start, up_count = _runs(patient[self.positive])
        downs, self._down_start, down_count = _runs(patient[self.negative])
        self._up, self._down = weights[ups], weights[downs]
        self._pairs = (up_count @ self._up).astype(np.float64) * (down_count @ self._down)

    @property
    def is_defined(self) -> bool:
        """Whether the test studies hold both classes."""
        return len(self.positive) > 0 and len(self.negative) > 0

    def auroc(self, scores: Doubles, share: Doubles) -> Doubles:
        """AUROC in every resample, averaged over draws: [R] float64, NaN where a resample holds one class.

        scores: [D, S], a row per draw. share: [D], weight of each draw, sum 1. Needs `is_defined`.
        """
        right = ranked_right(scores, share, self.positive, self.negative)
        right = np.add.reduceat(np.add.reduceat(right, self._up_start, axis=0), self._down_start, axis=1)
        counted = np.einsum("qr,qr->r", right.T @ self._up, self._down).astype(np.float64)
        nothing = np.full(len(counted), np.nan)
        resampled: Doubles = np.divide(counted, self._pairs, out=nothing, where=self._pairs > 0)
        return resampled


def _runs(codes: Ints) -> tuple[Ints, Ints, Singles]:
    # Values, first places and lengths of the runs of ascending codes.
    values, start, count = np.unique(codes, return_index=True, return_counts=True)
    return values, start, count.astype(np.float32)


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
        self._labels = [LabelResampler(truth, studies.patient, weights) for truth in studies.truth.T]

    def labels(self, scores: Doubles) -> LabelResamples:
        """AUROC of every label in every resample, averaged over draws.

        scores: [D, S, L] probabilities; NaN where a draw gives none for the label (its training labels had one
        class). Such a (draw, label) is left out, as is a label of which the test studies have one class, so that
        row 0 of `.macro` is the mean over draws of each draw's macro AUROC.
        """
        share = self._shares(scores)
        weight = share.sum(axis=0)
        values = np.full((1 + self.config.resamples, len(weight)), np.nan)
        for label in np.flatnonzero(weight):
            used = share[:, label] > 0
            part = share[used, label] / weight[label]
            values[:, label] = self._labels[label].auroc(scores[used, :, label], part)
        return LabelResamples(values, weight)

    def _shares(self, scores: Doubles) -> Doubles:
        # [D, L]: each draw's macro is a mean over its labels, and the draws that have any count alike.
        two_classes = np.array([label.is_defined for label in self._labels])
        predicted = (np.isfinite(scores) | np.isnan(self.studies.truth)).all(axis=1)
        defined = np.logical_and(predicted, two_classes)
        in_draw = defined.sum(axis=1, keepdims=True)
        draws = max(1, int((in_draw > 0).sum()))
        share: Doubles = np.divide(defined, in_draw * draws, out=np.zeros(defined.shape), where=in_draw > 0)
        return share


@dataclass(frozen=True)
class SeedResamples:
    """One statistic of one row of a table: a value per resample and seed.

    seeds: the n seeds. values: [R, n]; row 0 holds what was measured.
    """

    seeds: tuple[int, ...]
    values: Doubles

    def over_seeds(self, config: BootstrapConfig) -> Doubles:
        """The statistic averaged over the resampled seeds, [R]; entry 0 is the plain mean."""
        result: Doubles = (self.values * seed_weights(self.seeds, config)).sum(axis=1)
        return result

    def only(self, seeds: tuple[int, ...]) -> SeedResamples:
        """The same for some of the seeds, in the order given."""
        return SeedResamples(seeds, self.values[:, [self.seeds.index(seed) for seed in seeds]])


def percentile_interval(resampled: Doubles, level: float) -> tuple[float, float]:
    """The percentile interval of the finite resamples; (NaN, NaN) when there are none."""
    finite = resampled[np.isfinite(resampled)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def estimate(row: SeedResamples, config: BootstrapConfig) -> Estimate:
    """Mean over seeds with its percentile interval; with one seed the interval covers patients only."""
    resampled = row.over_seeds(config)
    low, high = percentile_interval(resampled[1:], config.level)
    return Estimate(float(resampled[0]), low, high, "seeds and patients" if len(row.seeds) > 1 else "patients")


def paired_difference(first: SeedResamples, second: SeedResamples, config: BootstrapConfig) -> Estimate:
    """first - second over the same patients and matched seeds, with its percentile interval.

    Seeds that only one of the two has are left out. Raises ValueError when they share none.
    """
    common = tuple(seed for seed in first.seeds if seed in second.seeds)
    if not common:
        raise ValueError(f"no seed in common: {first.seeds} and {second.seeds}")
    difference = first.only(common).values - second.only(common).values
    return estimate(SeedResamples(common, difference), config)


def mark_best(rows: dict[Any, SeedResamples], config: BootstrapConfig) -> dict[Any, str]:
    """ "best", "tie" or "" for every row; a tie's paired difference to the best has 0 in its interval."""
    means = {name: float(row.values[0].mean()) for name, row in rows.items()}
    ranked = [name for name in means if np.isfinite(means[name])]
    if not ranked:
        return dict.fromkeys(rows, "")
    best = max(ranked, key=means.__getitem__)
    marks = dict.fromkeys(rows, "")
    for name in ranked:
        difference = paired_difference(rows[name], rows[best], config)
        marks[name] = "best" if name == best else "tie" if difference.low <= 0 <= difference.high else ""
    return marks
