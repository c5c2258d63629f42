"""p-values against SciPy, closed forms and true nulls; Holm against its definition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import norm, permutation_test

from analysis.hypotheses import holm, p_above, p_below, p_equivalent, p_unequal, sign_flip

NAN = float("nan")
# 20,000 draws of N(0.02, 0.01^2), as a bootstrap of a difference would be.
DRAWS = 0.02 + 0.01 * np.random.default_rng(0).normal(size=20_000)


def test_p_values_of_normal_resamples_are_those_of_the_normal_distribution() -> None:
    assert p_above(DRAWS, 0.005) == pytest.approx(norm.sf(1.5), abs=0.006)
    assert p_below(DRAWS, 0.03) == pytest.approx(norm.sf(1.0), abs=0.009)
    assert p_unequal(DRAWS) == pytest.approx(2 * norm.sf(2.0), abs=0.006)
    assert p_equivalent(DRAWS, 0.03) == pytest.approx(norm.sf(1.0), abs=0.009)
    assert p_equivalent(-DRAWS, 0.03) == pytest.approx(norm.sf(1.0), abs=0.009)
    assert p_equivalent(DRAWS, 0.01) > 0.8


def test_a_p_value_is_never_zero_and_never_above_one() -> None:
    assert p_above(np.ones(99), 0.0) == pytest.approx(0.01)
    assert p_unequal(np.zeros(99)) == 1.0
    assert math.isnan(p_above(np.full(3, NAN), 0.0))


@pytest.mark.parametrize("n", [2, 5, 8])
def test_sign_flips_are_scipys_permutation_test_of_pairs(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.6, 1, size=n)

    def mean(sample: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.mean(sample, axis=axis)

    pairs = np.stack([differences, np.zeros(n)])
    theirs = permutation_test(
        (pairs[0], pairs[1]), lambda x, y, axis: mean(x - y, axis), permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip(differences) == pytest.approx(theirs.pvalue)


def test_few_seeds_cannot_be_significant_and_many_are_drawn() -> None:
    assert sign_flip(np.array([0.1, 0.2, 0.3])) == 0.25
    assert sign_flip(np.full(6, 0.1)) == pytest.approx(2 / 64)
    assert sign_flip(np.zeros(4)) == 1.0
    assert math.isnan(sign_flip(np.array([])))
    many = np.random.default_rng(1).normal(0.55, 1, size=20)
    assert sign_flip(many) == pytest.approx(2 * norm.sf(many.sum() / np.sqrt((many**2).sum())), abs=0.01)
    assert sign_flip(many) == sign_flip(many)


def test_sign_flips_are_wrong_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    found = np.array([sign_flip(rng.standard_t(3, size=8)) for _ in range(3000)])
    for alpha in (0.05, 0.2):
        assert np.mean(found <= alpha) == pytest.approx(alpha, abs=0.015)


def by_definition(p: list[float], alpha: float) -> set[int]:
    """Holm's step-down procedure as he wrote it: stop at the first that is not small enough."""
    order = sorted(range(len(p)), key=p.__getitem__)
    rejected = itertools.takewhile(lambda pair: p[pair[1]] <= alpha / (len(p) - pair[0]), enumerate(order))
    return {place for _, place in rejected}


@pytest.mark.parametrize("seed", range(5))
def test_holm_rejects_what_the_step_down_procedure_rejects(seed: int) -> None:
    p = list(np.random.default_rng(seed).random(7) ** 4)
    adjusted = holm(p)
    for alpha in (0.001, 0.01, 0.05, 0.2):
        assert {i for i, value in enumerate(adjusted) if value <= alpha} == by_definition(p, alpha)
    assert all(a >= b for a, b in zip(adjusted, p, strict=True))


def test_holm_leaves_out_what_was_not_tested() -> None:
    assert holm([0.01, NAN, 0.04])[::2] == pytest.approx([0.02, 0.04])
    assert math.isnan(holm([0.01, NAN])[1])
    assert holm([]) == []
