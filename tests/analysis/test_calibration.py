"""Calibration against scikit-learn and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from analysis.calibration import macro_error, reliability
from analysis.plots.calibration import pooled_reliability

NAN = float("nan")


def test_the_bins_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(500)
    truth = (rng.random(500) < probability**2).astype(float)
    found = reliability(truth, probability)
    observed, predicted = calibration_curve(truth, probability, n_bins=10)
    assert found.observed == pytest.approx(observed)
    assert found.predicted == pytest.approx(predicted)
    assert found.count.sum() == 500


def test_the_error_by_hand() -> None:
    # Two in the first bin (mean 0.05, half positive), two in the last (mean 0.95, all positive).
    found = reliability(np.array([0.0, 1, 1, 1, NAN]), np.array([0.02, 0.08, 0.9, 1.0, 0.5]))
    assert found.count.tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert math.isnan(found.observed[4])
    assert found.error == pytest.approx((2 * 0.45 + 2 * 0.05) / 4)
    assert math.isnan(reliability(np.array([NAN]), np.array([0.5])).error)


def test_a_calibrated_forecast_errs_less_than_a_sure_one() -> None:
    rng = np.random.default_rng(1)
    probability = rng.random((1, 4000, 2))
    truth = (rng.random((4000, 2)) < probability[0]).astype(float)
    assert macro_error(truth, probability) < 0.03
    assert macro_error(truth, (probability > 0.5).astype(float)) > 0.2


def test_a_label_of_one_class_does_not_count_and_draws_are_pooled() -> None:
    truth = np.array([[0.0, 1], [0, 0], [0, 1]])
    scores = np.array([[[0.9, 1.0], [0.9, 0.0], [0.9, 1.0]]])
    assert macro_error(truth, scores) == 0.0
    assert math.isnan(macro_error(truth[:, :1], scores[:, :, :1]))
    twice = pooled_reliability(truth, np.concatenate([scores, scores]))
    assert twice.count.tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 10]
