"""DeLong's test: the AUROCs of two rows on one test set, from placement values, without resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.resample import Doubles
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


def midranks(values: Doubles) -> Doubles:
    """Ranks from 1, ties sharing the mean of theirs. values: [n]."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    shared: Doubles = (last - (count - 1) / 2)[place]
    return shared


def placements(truth: Doubles, scores: Doubles) -> Placements:
    """Placement values, averaged over several scorings of the same studies.

    truth: [S] 1 or 0, both there. scores: [K, S], a row per seed or draw; the mean of the result is the mean of their
    AUROCs. Source: Sun and Xu 2014, from midranks in O(S log S); DeLong et al. 1988 for what they are.
    """
    up, down = truth == 1, truth == 0
    m, n = int(up.sum()), int(down.sum())
    positive, negative = np.zeros(m), np.zeros(n)
    for row in scores:
        together = midranks(row)
        positive += (together[up] - midranks(row[up])) / n
        negative += 1 - (together[down] - midranks(row[down])) / m
    return Placements(positive / len(scores), negative / len(scores))


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
    ups, downs = (len(np.unique(patient[rows])) for rows in (up, down))
    m, n = int(up.sum()), int(down.sum())
    everyone = len(np.unique(patient))
    if min(ups, downs) < 2:
        return math.nan
    total = (of_patient[0] ** 2).sum() * ups / (ups - 1) / m**2
    total += (of_patient[1] ** 2).sum() * downs / (downs - 1) / n**2
    mixed = (of_patient[0] * of_patient[1]).sum() * everyone / (everyone - 1) / (m * n)
    return float(total + 2 * mixed)


def delong(truth: Doubles, first: Doubles, second: Doubles, patient: Ints) -> DeLong:
    """Test whether two rows have the same AUROC for one label.

    truth: [S] 1, 0 or NaN (left out). first, second: [K, S] scores, the seeds of a row each. patient: [S] codes.
    All NaN where the label has one class or a study no score; p is 1 for rows that rank alike.
    """
    from scipy.special import ndtr

    known = np.isfinite(truth)
    truth, patient, first, second = truth[known], patient[known], first[:, known], second[:, known]
    if not 0 < truth.sum() < len(truth) or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return DeLong(math.nan, math.nan, math.nan)
    apart = placements(truth, first) - placements(truth, second)
    error = math.sqrt(max(0.0, variance(apart, truth, patient)))
    difference = apart.auroc
    if not error:
        return DeLong(difference, error, 1.0 if difference == 0 else 0.0)
    return DeLong(difference, error, float(2 * ndtr(-abs(difference) / error)))
