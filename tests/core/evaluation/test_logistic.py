"""The probe's solver against scikit-learn's logistic regression."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from core.evaluation.logistic import fit_path, sigmoid

STRENGTHS = [1e-4, 1e-2, 1.0, 100.0]


def problem(n: int, d: int, labels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated features, as an encoder gives them, and labels of prevalence 0.1 to 0.5 that depend on them."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) @ (rng.standard_normal((d, d)) * np.logspace(0, -2, d)) + rng.standard_normal(
        (n, 1)
    )
    x = (x - x.mean(0)) / x.std(0)
    score = x @ rng.standard_normal((d, labels)) + 2 * rng.standard_normal((n, labels))
    y = (score > np.quantile(score, np.linspace(0.9, 0.5, labels), axis=0).diagonal()).astype(np.float64)
    return x, y


def reference(x: np.ndarray, y: np.ndarray, c: float) -> LogisticRegression:
    return LogisticRegression(C=c, tol=1e-10, max_iter=100_000).fit(x, y)


@pytest.mark.parametrize(("n", "d"), [(200, 10), (60, 60), (20, 50)])
def test_weights_and_probabilities_equal_scikit_learn(n: int, d: int) -> None:
    x, y = problem(n, d, 3)
    for c, model in zip(STRENGTHS, fit_path(x, y, STRENGTHS, tolerance=1e-9), strict=True):
        for label in range(3):
            expected = reference(x, y[:, label], c)
            np.testing.assert_allclose(model.weight[:, label], expected.coef_[0], atol=2e-4, rtol=1e-3)
            np.testing.assert_allclose(model.probabilities(x)[:, label], expected.predict_proba(x)[:, 1], atol=1e-4)


def test_the_default_tolerance_is_tight_enough() -> None:
    x, y = problem(300, 40, 4, seed=2)
    for c, model in zip(STRENGTHS, fit_path(x, y, STRENGTHS), strict=True):
        for label in range(4):
            expected = reference(x, y[:, label], c).predict_proba(x)[:, 1]
            np.testing.assert_allclose(model.probabilities(x)[:, label], expected, atol=2e-3)


def test_ignored_labels_do_not_count() -> None:
    x, y = problem(150, 8, 3, seed=3)
    hidden = np.random.default_rng(0).random(y.shape) < 0.4
    model = fit_path(x, np.where(hidden, np.nan, y), [0.1], tolerance=1e-9)[0]
    for label in range(3):
        known = ~hidden[:, label]
        expected = reference(x[known], y[known, label], 0.1)
        np.testing.assert_allclose(model.weight[:, label], expected.coef_[0], atol=1e-5)
        np.testing.assert_allclose(model.bias[label], expected.intercept_[0], atol=1e-5)


def test_a_label_with_one_class_gives_no_prediction_and_leaves_the_others_alone() -> None:
    x, y = problem(100, 6, 3)
    alone = fit_path(x, y[:, [0, 2]], [0.5])[0].probabilities(x)
    y[:, 1] = 1
    found = fit_path(x, y, [0.5])[0].probabilities(x)
    assert np.isnan(found[:, 1]).all()
    np.testing.assert_array_equal(found[:, [0, 2]], alone)
    y[:] = 0
    assert np.isnan(fit_path(x, y, [0.5])[0].probabilities(x)).all()


def test_reordering_labels_reorders_predictions() -> None:
    x, y = problem(120, 10, 4)
    order = [3, 1, 0, 2]
    plain, moved = (fit_path(x, labels, [0.1], tolerance=1e-8)[0] for labels in (y, y[:, order]))
    np.testing.assert_allclose(plain.probabilities(x)[:, order], moved.probabilities(x), atol=1e-6)


def test_a_feature_that_never_varies_gets_no_weight() -> None:
    x, y = problem(80, 5, 2)
    x[:, 3] = 0.0
    model = fit_path(x, y, [1.0])[0]
    np.testing.assert_allclose(model.weight[3], 0.0, atol=1e-8)


def test_sigmoid_keeps_very_unlikely_apart() -> None:
    found = sigmoid(np.array([-60.0, -40.0, 0.0, 40.0], np.float32))
    assert 0 < found[0] < found[1] < found[2] == 0.5
    assert found[3] == 1.0
