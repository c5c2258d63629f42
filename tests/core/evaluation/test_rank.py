"""Effective rank and spread where closed forms are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.evaluation.kinds.rank import RankConfig, effective_rank, embedding_std, rank


def with_spectrum(values: list[float], n: int = 50) -> np.ndarray:
    """A matrix [n, len(values)] with these singular values."""
    rng = np.random.default_rng(0)
    left, _ = np.linalg.qr(rng.standard_normal((n, len(values))))
    right, _ = np.linalg.qr(rng.standard_normal((len(values), len(values))))
    return left @ np.diag(values) @ right


def test_effective_rank_of_known_spectra() -> None:
    assert effective_rank(with_spectrum([3.0] * 7)) == pytest.approx(7.0)
    assert effective_rank(with_spectrum([5.0, 0.0, 0.0])) == pytest.approx(1.0, abs=1e-6)
    shares = np.array([0.5, 0.3, 0.2])
    expected = math.exp(-sum(p * math.log(p) for p in shares))
    assert effective_rank(with_spectrum([*(shares * 11)])) == pytest.approx(expected)


def test_effective_rank_ignores_scale_and_order_of_rows() -> None:
    x = np.random.default_rng(0).standard_normal((30, 6))
    assert effective_rank(7.5 * x[::-1]) == pytest.approx(effective_rank(x))


def test_nothing_has_no_rank() -> None:
    assert math.isnan(effective_rank(np.zeros((0, 4), np.float32)))
    assert math.isnan(effective_rank(np.zeros((5, 4), np.float32)))
    assert math.isnan(embedding_std(np.zeros((0, 4), np.float32)))


def test_spread_is_zero_when_collapsed_and_one_on_the_sphere() -> None:
    assert embedding_std(np.tile(np.arange(1.0, 5.0, dtype=np.float32), (9, 1))) == pytest.approx(0.0, abs=1e-6)
    wide = np.random.default_rng(0).standard_normal((5000, 16)).astype(np.float32)
    assert embedding_std(wide) == pytest.approx(1.0, abs=0.01)


def test_ranks_are_of_the_training_features_per_level(make, store) -> None:
    context = make.context(store)
    found = {(m.metric, m.view): m for m in rank(RankConfig(), context).metrics}
    x, present = context.features["train"].at("lateral")
    assert found["effective_rank", "lateral"].value == pytest.approx(effective_rank(x[present]))
    assert found["effective_rank", "lateral"].n == present.sum()
    few = rank(RankConfig(max_studies=10), context).metrics
    assert all(1 < m.n <= 10 for m in few)
