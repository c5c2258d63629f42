"""DeLong's test against its definition by counting pairs, a closed form for the variance, and a true null."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm
from sklearn.metrics import roc_auc_score

from analysis.delong import Placements, delong, placements, variance
from core.evaluation.metrics import auroc


def by_counting(truth: np.ndarray, scores: np.ndarray) -> Placements:
    """The definition of DeLong et al. 1988, eq. 4 and 5: every positive against every negative."""
    up, down = scores[truth == 1], scores[truth == 0]
    kernel = np.array([[1.0 if x > y else 0.5 if x == y else 0.0 for y in down] for x in up])
    return Placements(kernel.mean(axis=1), kernel.mean(axis=0))


def independent(truth: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Difference, standard error and p by the textbook: 2 x 2 covariances of the placements (DeLong, eq. 6 to 8)."""
    a, b = by_counting(truth, first), by_counting(truth, second)
    covariance = np.cov([a.positive, b.positive]) / len(a.positive) + np.cov([a.negative, b.negative]) / len(a.negative)
    contrast = np.array([1.0, -1.0])
    error = math.sqrt(contrast @ covariance @ contrast)
    difference = a.positive.mean() - b.positive.mean()
    return difference, error, 2 * norm.sf(abs(difference) / error)


def made(seed: int, n: int = 60, digits: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < 0.4).astype(float)
    shared = rng.normal(size=n)
    return truth, np.round(truth + shared, digits), np.round(0.6 * truth + shared + 0.5 * rng.normal(size=n), digits)


@pytest.mark.parametrize("seed", range(4))
def test_fast_placements_are_the_counted_ones_ties_included(seed: int) -> None:
    truth, scores, _ = made(seed)
    fast, slow = placements(truth, scores[None]), by_counting(truth, scores)
    assert fast.positive == pytest.approx(slow.positive)
    assert fast.negative == pytest.approx(slow.negative)
    expected = mannwhitneyu(scores[truth == 1], scores[truth == 0]).statistic / (truth.sum() * (1 - truth).sum())
    assert fast.auroc == pytest.approx(expected)
    assert fast.auroc == pytest.approx(roc_auc_score(truth, scores))
    assert fast.auroc == pytest.approx(auroc(truth, scores))


@pytest.mark.parametrize("seed", range(4))
def test_the_test_is_the_textbooks_where_every_patient_has_one_study(seed: int) -> None:
    truth, first, second = made(seed)
    found = delong(truth, first[None], second[None], np.arange(len(truth)))
    assert (found.difference, found.error, found.p) == pytest.approx(independent(truth, first, second))


def test_a_worked_example_by_hand() -> None:
    # Positives 3, 4, 1 and negatives 2, 0: placements (1, 1, 1/2) and (2/3, 1), AUROC 5/6.
    truth, scores = np.array([1.0, 1, 1, 0, 0]), np.array([3.0, 4, 1, 2, 0])
    found = placements(truth, scores[None])
    assert found.positive == pytest.approx([1, 1, 1 / 2])
    assert found.negative == pytest.approx([2 / 3, 1])
    # Sample variances 1/12 over 3 positives and 1/18 over 2 negatives.
    assert variance(found, truth, np.arange(5)) == pytest.approx(1 / 12 / 3 + 1 / 18 / 2)


def test_copies_of_a_study_within_a_patient_tell_nothing_new() -> None:
    truth, first, second = made(5)
    once = delong(truth, first[None], second[None], np.arange(len(truth)))
    twice = [np.repeat(a, 2) for a in (truth, first, second, np.arange(len(truth)))]
    together = delong(twice[0], twice[1][None], twice[2][None], twice[3])
    assert (together.difference, together.error) == pytest.approx((once.difference, once.error))
    apart = delong(twice[0], twice[1][None], twice[2][None], np.arange(len(twice[0])))
    assert apart.error == pytest.approx(once.error / math.sqrt(2), rel=0.03)


def test_several_seeds_are_compared_by_their_mean_auroc() -> None:
    truth, first, second = made(6)
    third = np.random.default_rng(1).permutation(first)
    found = delong(truth, np.stack([first, third]), np.stack([second, second]), np.arange(len(truth)))
    means = np.mean([roc_auc_score(truth, s) for s in (first, third)]), roc_auc_score(truth, second)
    assert found.difference == pytest.approx(means[0] - means[1])


def test_studies_that_are_left_out_and_labels_of_one_class() -> None:
    truth, first, second = made(7)
    patient = np.arange(len(truth))
    with_gap = np.append(truth, np.nan)
    longer = [np.append(a, 9.0)[None] for a in (first, second)]
    known = delong(truth, first[None], second[None], patient)
    assert delong(with_gap, *longer, np.append(patient, 99)) == known
    assert math.isnan(delong(np.ones(4), first[None, :4], second[None, :4], patient[:4]).p)
    assert delong(truth, first[None], first[None], patient).p == 1.0
    assert math.isnan(delong(truth, np.where(patient == 3, np.nan, first)[None], second[None], patient).p)


def test_under_a_true_null_one_in_twenty_is_significant() -> None:
    rng = np.random.default_rng(8)
    patient = np.repeat(np.arange(80), 2)
    found = []
    for _ in range(1000):
        truth = (rng.random(160) < 0.4).astype(float)
        shared = truth + 0.5 * rng.normal(size=80)[patient]
        # The noise within a patient is shared too: without clustering the test would be too eager.
        scores = [shared + 0.7 * rng.normal(size=80)[patient] + 0.5 * rng.normal(size=160) for _ in range(2)]
        found.append(delong(truth, scores[0][None], scores[1][None], patient).p)
    assert 0.03 <= np.mean(np.array(found) < 0.05) <= 0.07
