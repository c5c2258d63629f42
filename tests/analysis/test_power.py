"""The power that is foretold is the power that simulated experiments have."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, ttest_1samp

from analysis.power import Aim, patients_needed, power_of, seeds_needed
from analysis.statistics import Components


def test_over_patients_alone_it_is_the_z_test() -> None:
    parts = Components(patients=0.01**2, seeds=0.0, both=0.0)
    assert power_of(Aim(0.02), parts, 1) == pytest.approx(norm.cdf(2 - norm.ppf(0.975)), abs=1e-6)
    needed = patients_needed(Aim(0.02), parts, 3, 100)
    # (1.96 + 0.84)^2 sigma^2 / d^2 times the 100 patients that there were.
    assert needed == math.ceil(100 * (norm.ppf(0.975) + norm.ppf(0.8)) ** 2 / 4)
    assert seeds_needed(Aim(0.02), parts) is None


@pytest.mark.parametrize("distance", [0.03, 0.015])
def test_over_seeds_alone_it_is_the_power_of_students_test(distance: float) -> None:
    needed = seeds_needed(Aim(distance), Components(0.0, 0.02**2, 0.0))
    assert needed is not None
    rng = np.random.default_rng(0)
    reached = {}
    for n in (needed - 1, needed + 1):
        p = ttest_1samp(rng.normal(distance, 0.02, size=(20_000, n)), 0, axis=1).pvalue
        reached[n] = np.mean(p < 0.05)
    assert reached[needed - 1] < 0.82
    assert reached[needed + 1] > 0.78
    assert patients_needed(Aim(distance / 10), Components(0.0, 0.02**2, 0.0), 3, 100) is None


def test_what_comes_of_both_shrinks_with_either() -> None:
    parts = Components(0.0, 0.0, 0.02**2)
    assert parts.variance(4) == pytest.approx(parts.variance(1, 4.0))
    assert power_of(Aim(0.02), parts, 8) > power_of(Aim(0.02), parts, 2)
    assert power_of(Aim(0.02), parts, 2, 4.0) == pytest.approx(power_of(Aim(0.02), parts, 8))


def test_power_grows_with_everything() -> None:
    parts = Components(1e-4, 1e-4, 1e-4)
    seeds = [power_of(Aim(0.03), parts, n) for n in range(2, 12)]
    assert seeds == sorted(seeds)
    assert power_of(Aim(0.03), Components(0.0, 0.0, 0.0), 3) == 1.0
    assert seeds_needed(Aim(1.0), parts) == 2
