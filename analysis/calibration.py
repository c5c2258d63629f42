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
    count = np.bincount(place, minlength=bins)
    return _reliability(count, _sums(place, probability, bins), _sums(place, truth, bins))


def _sums(place: Ints, weights: Scores, length: int) -> Doubles:
    # The sum of the weights at each place.
    sums: Doubles = np.bincount(place, weights=weights, minlength=length).astype(np.float64)
    return sums


def _reliability(count: Ints, predicted: Doubles, positive: Doubles) -> Reliability:
    # From sums over bins to means.
    mean = [np.divide(s, count, out=np.full(len(count), np.nan), where=count > 0) for s in (predicted, positive)]
    return Reliability(count, mean[0], mean[1])


def macro_error(truth: Doubles, scores: Scores, bins: int = BINS) -> float:
    """Mean over labels and draws of the expected calibration error. truth: [S, L], scores: [D, S, L].

    Labels without both classes are left out, as they are of a macro AUROC.
    """
    known = np.isfinite(truth)
    positive = np.nansum(truth, axis=0)
    two = np.flatnonzero((positive > 0) & (positive < known.sum(axis=0)))
    errors = [error for draw in scores for error in _errors(truth[:, two], draw[:, two], bins)]
    finite = [error for error in errors if np.isfinite(error)]
    return float(np.mean(finite)) if finite else float("nan")


def _errors(truth: Doubles, probability: Scores, bins: int) -> list[float]:
    """The expected calibration error of every label, all binned at once. truth, probability: [S, L]."""
    known = np.isfinite(truth) & np.isfinite(probability)
    probability = np.where(known, probability, 0.0).astype(np.float64)
    labels = truth.shape[1]
    place = np.minimum((probability * bins).astype(np.int64), bins - 1) + bins * np.arange(labels)
    place, length, shape = place[known], bins * labels, (labels, bins)
    count = np.bincount(place, minlength=length).reshape(shape)
    predicted, positive = (_sums(place, part[known], length).reshape(shape) for part in (probability, truth))
    return [_reliability(*of_label).error for of_label in zip(count, predicted, positive, strict=True)]
