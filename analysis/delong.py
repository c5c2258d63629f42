"""DeLong's test: the AUROCs of two rows on one test set, from placement values, without resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.counting import ascending
from analysis.resample import Doubles, Scores
from core.data.types import Ints


@dataclass(frozen=True)
class Placements:
    """How every study of one label is placed among those of the other class.

    positive: [m], the share of negatives that a positive ranks above, a tie counting half. negative: [n], the share of
    positives that rank above a negative. Both means are the AUROC.
    """

    positive: Doubles
    negative: Doubles

    @property
    def auroc(self) -> float:
        """The AUROC, the mean of either."""
        return float(self.positive.mean())

    def __sub__(self, other: Placements) -> Placements:
        """Placements whose mean is the difference of two AUROCs."""
        return Placements(self.positive - other.positive, self.negative - other.negative)


@dataclass(frozen=True)
class DeLong:
    """A difference of two AUROCs: its value, its standard error and the two-sided p-value of "there is none"."""

    difference: float
    error: float
    p: float


def placements(truth: Doubles, scores: Scores) -> Placements:
    """Placement values, averaged over several scorings of the same studies.

    truth: [S] 1 or 0, both there. scores: [K, S], a row per seed or draw; the mean of the result is the mean of their
    AUROCs. Source: DeLong et al. 1988; by sorting in O(S log S), as Sun and Xu 2014.
    """
    # Imported here: most verbs rank nothing, and compiled code takes half a second to import.
    from analysis.compiled import add_placements

    up = truth == 1
    placed = np.zeros(len(up))
    for row in scores:
        add_placements(ascending(row), row, up, placed)
    placed /= len(scores)
    return Placements(placed[up], placed[~up])


def variance(found: Placements, truth: Doubles, patient: Ints) -> float:
    """Variance of the mean of placements, all studies of a patient together. patient: [S] codes.

    With one study per patient it is DeLong's; with several it is Obuchowski's (1997) for clustered data.
    """
    up, down = truth == 1, truth == 0
    size = int(patient.max()) + 1
    of_patient = [
        np.bincount(patient[rows], weights=values - values.mean(), minlength=size)
        for rows, values in ((up, found.positive), (down, found.negative))
    ]
    there = [np.bincount(patient[rows], minlength=size) > 0 for rows in (up, down)]
    ups, downs = (int(one.sum()) for one in there)
    m, n = int(up.sum()), int(down.sum())
    everyone = int((there[0] | there[1]).sum())
    if min(ups, downs) < 2:
        return math.nan
    total = (of_patient[0] ** 2).sum() * ups / (ups - 1) / m**2
    total += (of_patient[1] ** 2).sum() * downs / (downs - 1) / n**2
    mixed = (of_patient[0] * of_patient[1]).sum() * everyone / (everyone - 1) / (m * n)
    return float(total + 2 * mixed)


def delong(truth: Doubles, first: Scores, second: Scores, patient: Ints) -> DeLong:
    """Test whether two rows have the same AUROC for one label.

    truth: [S] 1, 0 or NaN (left out). first, second: [K, S] scores, the seeds of a row each. patient: [S] codes.
    All NaN where the label has one class or a study no score; p is 1 for rows that rank alike.
    """
    return delong_of(truth, placed(truth, first), placed(truth, second), patient)


def placed(truth: Doubles, scores: Scores) -> Placements | None:
    """The placements of a row over the studies where the label is known; None where it is one-sided or unscored."""
    known = np.isfinite(truth)
    scores = scores[:, known]
    if not 0 < truth[known].sum() < known.sum() or not np.isfinite(scores).all():
        return None
    return placements(truth[known], scores)


def delong_of(truth: Doubles, first: Placements | None, second: Placements | None, patient: Ints) -> DeLong:
    """The test of `delong` for rows whose placements are known."""
    from scipy.special import ndtr

    if first is None or second is None:
        return DeLong(math.nan, math.nan, math.nan)
    known, apart = np.isfinite(truth), first - second
    error = math.sqrt(max(0.0, variance(apart, truth[known], patient[known])))
    difference = apart.auroc
    if not error:
        return DeLong(difference, error, 1.0 if difference == 0 else 0.0)
    return DeLong(difference, error, float(2 * ndtr(-abs(difference) / error)))
