"""The nearest-neighbour classifier against a loop over studies."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.evaluation.kinds.knn import KnnConfig, knn, vote


def by_hand(train: np.ndarray, labels: np.ndarray, query: np.ndarray, config: KnnConfig) -> float:
    """Share of one label's positives among the nearest neighbours of one query, one neighbour at a time."""
    neighbours = []
    for x, y in zip(train, labels, strict=True):
        if not math.isnan(y):
            cosine = float(x @ query / (np.linalg.norm(x) * np.linalg.norm(query)))
            neighbours.append((cosine, y))
    nearest = sorted(neighbours, reverse=True)[: config.k]
    weights = [math.exp(c / config.temperature) for c, _ in nearest]
    return sum(w * y for w, (_, y) in zip(weights, nearest, strict=True)) / sum(weights)


@pytest.mark.parametrize("k", [1, 7, 500])
def test_equals_a_loop_over_studies(k: int) -> None:
    rng = np.random.default_rng(0)
    train, queries = rng.standard_normal((60, 6)).astype(np.float32), rng.standard_normal((9, 6)).astype(np.float32)
    labels = (rng.random((60, 4)) < 0.4).astype(np.float32)
    labels[rng.random((60, 4)) < [0.0, 0.0, 0.3, 0.5]] = np.nan
    config = KnnConfig(k=k)
    expected = [[by_hand(train, labels[:, j], q, config) for j in range(4)] for q in queries]
    np.testing.assert_allclose(vote(train, labels, queries, config), expected, atol=1e-5)


def test_a_tiny_temperature_does_not_overflow() -> None:
    train = np.eye(3, dtype=np.float32)
    labels = np.array([[1], [0], [0]], np.float32)
    found = vote(train, labels, np.array([[1.0, 0.1, 0.0]], np.float32), KnnConfig(temperature=1e-4))
    assert found[0, 0] == pytest.approx(1.0)


def test_the_scale_of_features_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    train, queries = rng.standard_normal((30, 5)).astype(np.float32), rng.standard_normal((5, 5)).astype(np.float32)
    labels = (rng.random((30, 2)) < 0.5).astype(np.float32)
    scaled = train * rng.uniform(0.1, 10, (30, 1)).astype(np.float32)
    config = KnnConfig(k=5)
    np.testing.assert_allclose(vote(train, labels, queries, config), vote(scaled, labels, queries, config), atol=1e-5)


def test_one_class_gives_no_prediction() -> None:
    train = np.eye(4, dtype=np.float32)
    labels = np.array([[1, 1], [1, 0], [1, np.nan], [1, 1]], np.float32)
    found = vote(train, labels, train, KnnConfig(k=2))
    assert np.isnan(found[:, 0]).all()
    assert np.isfinite(found[:, 1]).all()


def test_it_finds_labels_that_the_films_show(make, store) -> None:
    found = knn(KnnConfig(), make.context(store))
    (macro,) = [m for m in found.metrics if m.metric == "macro_auroc"]
    assert macro.value > 0.65
    assert (macro.evaluation, macro.label_fraction, macro.view, macro.n) == ("knn", 1.0, "study", 3)
    assert list(found.predictions.study_id) == list(store.splits["test"].study_ids)
