"""Calibration: how often what was predicted with a probability of p comes true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.resample import Doubles, Scores
from core.data.types import Ints

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """Predictions in bins of equal width over [0, 1].

    count: [B] predictions. predicted: [B] their mean probability. observed: [B] the share that is positive; NaN where
    a bin is empty.
    """

    count: Ints
    predicted: Doubles
    observed: Doubles

    @property
    def error(self) -> float:
        """Expected calibration error: |observed - predicted|, weighted by count. NaN without any prediction.

        Source: Naeini et al. 2015; Guo et al. 2017, eq. 3.
        """
        filled = self.count > 0
        if not filled.any():
            return float("nan")
        return float(np.average(np.abs(self.observed - self.predicted)[filled], weights=self.count[filled]))


def reliability(truth: Doubles, probability: Scores, bins: int = BINS) -> Reliability:
    """Bins of predictions. truth: [n] 1, 0, NaN = left out; probability: [n] in [0, 1], NaN = no prediction.

    A probability on the edge of two bins is in the upper one, 1 in the last.
    """
    known = np.isfinite(truth) & np.isfinite(probability)
    truth, probability = truth[known], probability[known].astype(np.float64)
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    count, *sums = (np.bincount(place, weights, bins) for weights in (None, probability, truth))
    predicted, observed = (np.divide(s, count, out=np.full(bins, np.nan), where=count > 0) for s in sums)
    return Reliability(count, predicted, observed)


def macro_error(truth: Doubles, scores: Scores, bins: int = BINS) -> float:
    """Mean over labels and draws of the expected calibration error. truth: [S, L], scores: [D, S, L].

    Labels without both classes are left out, as they are of a macro AUROC.
    """
    known = np.isfinite(truth)
    positive = np.nansum(truth, axis=0)
    two = np.flatnonzero((positive > 0) & (positive < known.sum(axis=0)))
    errors = np.concatenate([_errors(truth[:, two], draw[:, two], bins) for draw in scores])
    finite = errors[np.isfinite(errors)]
    return float(finite.mean()) if len(finite) else float("nan")


def _errors(truth: Doubles, probability: Scores, bins: int) -> Doubles:
    """The expected calibration error of every label [L], NaN without any prediction. truth, probability: [S, L]."""
    # Imported here: most verbs bin nothing, and compiled code takes half a second to import.
    from analysis.compiled import fill_bins

    count, predicted, positive = np.zeros((3, truth.shape[1], bins))
    fill_bins(truth, probability, count, predicted, positive)
    total = count.sum(axis=1)
    # Of a bin the weight is its count, by which both its means are divided.
    apart = np.abs(positive - predicted).sum(axis=1)
    errors: Doubles = np.divide(apart, total, out=np.full(len(total), np.nan), where=total > 0)
    return errors
