"""p-values: from resamples, from flipped signs, for equivalence; and Holm's correction for several at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from analysis.resample import Doubles

# Above this many seeds signs are drawn instead of counted out.
EXACT_UP_TO = 14


def p_above(resampled: Doubles, bound: float) -> float:
    """One-sided p-value of "the statistic is at most `bound`", from its resamples; NaN without any.

    The share of resamples that are not above it, one more counted so that it is never 0 (Davison and Hinkley 1997,
    eq. 4.11). It inverts the percentile interval.
    """
    finite = resampled[np.isfinite(resampled)]
    return float((1 + (finite <= bound).sum()) / (1 + len(finite))) if len(finite) else math.nan


def p_below(resampled: Doubles, bound: float) -> float:
    """One-sided p-value of "the statistic is at least `bound`"."""
    return p_above(-resampled, -bound)


def p_unequal(resampled: Doubles, value: float = 0.0) -> float:
    """Two-sided p-value of "the statistic is `value`": twice the smaller one-sided one."""
    return min(1.0, 2 * min(p_above(resampled, value), p_below(resampled, value)))


def p_equivalent(resampled: Doubles, margin: float) -> float:
    """p-value of "the statistic is `margin` or more away from 0": two one-sided tests (Schuirmann 1987).

    Small means: no difference as large as the margin, either way.
    """
    return max(p_above(resampled, -margin), p_below(resampled, margin))


def sign_flip(differences: Doubles, seed: int = 0, draws: int = 20_000) -> float:
    """Two-sided p-value of "the paired differences [n] are symmetric around 0", by flipping their signs.

    All 2^n sign patterns for up to 14 seeds, else `draws` random ones. With n seeds it cannot be below 2 / 2^n: six
    are the fewest that can reach 0.05. NaN for no difference. Source: Fisher 1935, section 21.
    """
    n = len(differences)
    if not n:
        return math.nan
    seen = abs(differences.sum())
    if n <= EXACT_UP_TO:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=n)))
        flipped = np.abs(signs @ differences)
        return float(np.mean(flipped >= seen * (1 - 1e-12)))
    signs = np.random.default_rng([0xF11B, seed]).choice((-1.0, 1.0), size=(draws, n))
    return float((1 + (np.abs(signs @ differences) >= seen * (1 - 1e-12)).sum()) / (1 + draws))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given; NaN stays NaN and does not count. Source: Holm 1979."""
    order = sorted((place for place, p in enumerate(p_values) if not math.isnan(p)), key=lambda place: p_values[place])
    adjusted = [math.nan] * len(p_values)
    least = 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted


def holm_levels(p_values: Sequence[float], alpha: float) -> list[float]:
    """The level that Holm's procedure holds each p-value against, in the order given; NaN for NaN.

    The smallest of m is held against alpha / m, the next against alpha / (m - 1), the largest against alpha.
    """
    order = sorted((place for place, p in enumerate(p_values) if not math.isnan(p)), key=lambda place: p_values[place])
    levels = [math.nan] * len(p_values)
    for rank, place in enumerate(order):
        levels[place] = alpha / (len(order) - rank)
    return levels
