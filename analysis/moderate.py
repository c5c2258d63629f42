"""Rows of one table tell each other how much seeds vary: moderated variances, after Smyth 2004.

Two or three seeds of one row hardly tell their variance: an interval that is honest about it is so wide as to be
useless. The rows of a table are trained alike, so that their variances are alike too, and how much alike can be seen
from the variances themselves. Each row's own variance is drawn towards the common one by as much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SeedPrior:
    """What other rows tell of a row's variance between seeds. freedom: the degrees of it that this is worth."""

    variance: float = 0.0
    freedom: float = 0.0

    def moderated(self, variance: float, freedom: float) -> tuple[float, float]:
        """A row's own variance and degrees of freedom put together with the prior's."""
        whole = self.freedom + freedom
        return (self.freedom * self.variance + freedom * variance) / whole, whole


NO_PRIOR = SeedPrior()


def seed_prior(variances: Sequence[float], freedoms: Sequence[int], alike: float = 0.0) -> SeedPrior:
    """The prior of the variances of several rows, n - 1 degrees of freedom each; none from fewer than three of them.

    Variances are taken as drawn around a common one from a scaled inverse chi-square distribution, whose two
    parameters are fitted to the mean and the variance of their logarithms. Source: Smyth 2004, section 6.2. As in
    limma, a row's degrees of freedom do not exceed those of all rows together. alike: correlation between the
    variances, where rows have something in common: they then differ too little, and are fewer than they seem.
    """
    from scipy.special import digamma, polygamma

    known = [(v, f) for v, f in zip(variances, freedoms, strict=True) if math.isfinite(v) and v > 0 and f > 0]
    if len(known) < 3:
        return NO_PRIOR
    variance, freedom = np.array(known).T
    level = np.log(variance) - digamma(freedom / 2) + np.log(freedom / 2)
    excess = level.var(ddof=1) - (1 - alike) * polygamma(1, freedom / 2).mean()
    most = float((freedom.sum() / (1 + alike * (len(freedom) - 1))) - freedom.max())
    if most <= 0:
        return NO_PRIOR
    if excess <= 0:
        return SeedPrior(float(np.exp(level.mean())), most)
    own = 2 * trigamma_inverse(float(excess))
    common = float(np.exp(level.mean() + digamma(own / 2) - np.log(own / 2)))
    return SeedPrior(common, min(own, most))


def trigamma_inverse(value: float) -> float:
    """The x > 0 whose trigamma is `value` > 0, by Newton's method. Source: Smyth 2004, appendix."""
    from scipy.special import polygamma

    x = 0.5 + 1 / value
    for _ in range(50):
        slope = polygamma(1, x)
        step = slope * (1 - slope / value) / polygamma(2, x)
        x += step
        if abs(step) < 1e-9 * x:
            break
    return float(x)
