"""Moderated variances: the fitted prior is the one that variances were drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import polygamma

from analysis.moderate import NO_PRIOR, SeedPrior, seed_prior, trigamma_inverse


@pytest.mark.parametrize("x", [0.01, 0.5, 3.0, 200.0])
def test_the_inverse_of_trigamma(x: float) -> None:
    assert trigamma_inverse(float(polygamma(1, x))) == pytest.approx(x, rel=1e-6)


def test_the_prior_is_recovered_from_many_variances() -> None:
    rng = np.random.default_rng(0)
    true = 8 * 0.04 / rng.chisquare(8, size=4000)
    seen = true * rng.chisquare(3, size=4000) / 3
    found = seed_prior(list(seen), [3] * 4000)
    assert found.freedom == pytest.approx(8, rel=0.15)
    assert found.variance == pytest.approx(0.04, rel=0.05)


def test_rows_that_are_alike_are_pooled_and_no_more_than_there_are() -> None:
    rng = np.random.default_rng(1)
    seen = 0.04 * rng.chisquare(4, size=2000) / 4
    found = seed_prior(list(seen), [4] * 2000)
    assert found.freedom > 100
    assert found.variance == pytest.approx(0.04, rel=0.05)
    few = seed_prior([0.04, 0.04, 0.04], [1, 1, 1])
    assert few.freedom == 2


def test_too_few_rows_tell_nothing_and_rows_without_variance_do_not_count() -> None:
    assert seed_prior([0.1, 0.2], [2, 2]) == NO_PRIOR
    assert seed_prior([0.1, 0.2, 0.0, float("nan")], [2, 2, 2, 2]) == NO_PRIOR
    assert NO_PRIOR.moderated(0.3, 2) == (0.3, 2)
    assert SeedPrior(0.1, 6).moderated(0.3, 2) == (pytest.approx(0.15), 8)
