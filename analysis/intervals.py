"""Intervals from resamples of one number: percentile, and bias-corrected and accelerated (BCa)."""

from __future__ import annotations

import math

import numpy as np

from analysis.resample import Doubles

Interval = tuple[float, float]
UNDEFINED: Interval = (math.nan, math.nan)


def percentile_interval(resampled: Doubles, level: float) -> Interval:
    """The percentile interval of the finite resamples; (NaN, NaN) when there are none."""
    return quantiles(resampled, (1 - level) / 2, (1 + level) / 2)


def bca_interval(measured: float, resampled: Doubles, acceleration: float, level: float) -> Interval:
    """The bias-corrected and accelerated interval of the finite resamples; (NaN, NaN) when there are none.

    measured: the statistic of the sample itself. Where all resamples lie on one side of it there is no finite bias
    correction, and the interval is undefined. Source: Efron and Tibshirani 1993, eq. 14.9 to 14.14.
    """
    from scipy.special import ndtr, ndtri

    finite = resampled[np.isfinite(resampled)]
    if not len(finite):
        return UNDEFINED
    # Of resamples that equal what was measured, half count as below it.
    below = float(np.mean(finite < measured) + np.mean(finite <= measured)) / 2
    if not 0 < below < 1:
        return UNDEFINED
    bias = ndtri(below)
    reach = bias + ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    low, high = ndtr(bias + reach / (1 - acceleration * reach))
    return quantiles(finite, float(low), float(high))


def acceleration_of(left_out: Doubles, other_variance: float = 0.0) -> float:
    """The acceleration from leave-one-out values [P] of a statistic; undefined ones do not count.

    other_variance: of the statistic, from sources that are symmetric (the seeds); it dilutes the skewness.
    Source: Efron and Tibshirani 1993, eq. 14.15, with the variances of several sources added as for several samples.
    """
    known = left_out[np.isfinite(left_out)]
    count = len(known)
    if not count:
        return 0.0
    influence = (count - 1) * (known.mean() - known)
    variance = (influence**2).sum() / count**2 + other_variance
    return float((influence**3).sum() / count**3 / variance**1.5 / 6) if variance > 0 else 0.0


def quantiles(resampled: Doubles, low: float, high: float) -> Interval:
    """Two quantiles of the finite resamples; (NaN, NaN) when there are none."""
    finite = resampled[np.isfinite(resampled)]
    if not len(finite):
        return UNDEFINED
    found = np.quantile(finite, [low, high])
    return float(found[0]), float(found[1])
