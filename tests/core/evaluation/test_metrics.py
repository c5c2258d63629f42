"""Metrics against scikit-learn, ties and undefined cases included; label policies by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from core.data.labels import UNKNOWN
from core.errors import ConfigError
from core.evaluation import metrics


@pytest.mark.parametrize("levels", [2, 5, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_scikit_learn_with_and_without_ties(levels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = (rng.random(97) < 0.3).astype(np.float32)
    score = rng.integers(0, levels, 97) / levels
    assert metrics.auroc(truth, score) == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    assert metrics.average_precision(truth, score) == pytest.approx(average_precision_score(truth, score), abs=1e-12)
    assert metrics.brier(truth, score) == pytest.approx(brier_score_loss(truth, score), abs=1e-12)


def test_auroc_of_a_constant_score_is_one_half() -> None:
    assert metrics.auroc([0, 1, 1, 0, 0], np.full(5, 0.2)) == 0.5


@pytest.mark.parametrize("truth", [[0, 0, 0], [1, 1, 1], []])
@pytest.mark.parametrize("measure", metrics.MEASURES.values(), ids=metrics.MEASURES)
def test_one_class_is_undefined_and_not_zero(measure, truth: list[int]) -> None:
    assert math.isnan(measure(truth, np.linspace(0, 1, len(truth))))


def test_label_policies() -> None:
    labels = np.array([[1.0, 0.0, UNKNOWN], [-1.0, np.nan, UNKNOWN]], np.float32)
    expected = {"zeros": [0.0, 0.0], "ones": [1.0, 0.0], "ignore": [np.nan, np.nan]}
    for policy, row in expected.items():
        found = metrics.apply_policy(labels, policy)
        np.testing.assert_array_equal(found, np.array([[1.0, 0.0, np.nan], [*row, np.nan]], np.float32))
        assert found.dtype == np.float32
    with pytest.raises(ConfigError, match="zeros"):
        metrics.apply_policy(labels, "zeroes")


def test_label_metrics_count_what_they_are_over() -> None:
    truth = np.array([[1, 0, np.nan, 1], [0, 0, 1, 0], [1, 0, 0, 1], [0, 0, 1, 0]], np.float32)
    probability = np.array([[0.9, 0.1, 0.2, np.nan], [0.1, 0.2, 0.8, 0.1], [0.8, 0.1, 0.3, 0.6], [0.4, 0.2, 0.1, 0.2]])
    found = {
        (m.metric, m.label): m
        for m in metrics.label_metrics(
            "probe", "abcd", truth, probability.astype(np.float32), label_fraction=0.1, draw=2
        )
    }
    assert (found["auroc", "a"].value, found["auroc", "a"].n, found["auroc", "a"].n_positive) == (1.0, 4, 2)
    assert math.isnan(found["auroc", "b"].value)
    assert (found["auroc", "b"].n, found["auroc", "b"].n_positive) == (4, 0)
    assert (found["auroc", "c"].value, found["auroc", "c"].n, found["auroc", "c"].n_positive) == (0.5, 3, 2)
    assert math.isnan(found["auroc", "d"].value), "a study without a prediction must not be left out silently"
    assert (found["macro_auroc", ""].value, found["macro_auroc", ""].n) == (0.75, 2)
    assert all(m.label_fraction == 0.1 and m.draw == 2 and m.view == "study" for m in found.values())


def test_macro_of_nothing_is_undefined() -> None:
    value, n = metrics.macro([float("nan")] * 3)
    assert math.isnan(value)
    assert n == 0


def test_metrics_follow_their_labels_when_these_are_reordered() -> None:
    rng = np.random.default_rng(1)
    truth = (rng.random((60, 4)) < 0.4).astype(np.float32)
    probability = rng.random((60, 4)).astype(np.float32)
    order = [2, 0, 3, 1]
    plain = metrics.label_metrics("probe", "abcd", truth, probability)
    moved = metrics.label_metrics("probe", [*"cadb"], truth[:, order], probability[:, order])
    key = {(m.metric, m.label): m.value for m in moved}
    assert all(key[m.metric, m.label] == pytest.approx(m.value, abs=1e-14) for m in plain)
