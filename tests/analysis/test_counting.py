"""Pairs ranked right, against counting them one by one."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.counting import BLOCK, ascending, half_pairs, in_blocks, walk


def one_by_one(score: np.ndarray, is_positive: np.ndarray, weights: np.ndarray) -> list[int]:
    higher = 2 * (score[:, None] > score) + (score[:, None] == score)
    pairs = higher * is_positive[:, None] * ~is_positive
    return [int(w @ pairs @ w) for w in weights.T.astype(np.int64)]


@pytest.mark.parametrize("heaviest", [3, 255])
@pytest.mark.parametrize("levels", [3, 10**6])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_every_resample_counts_every_pair(share: float, levels: int, heaviest: int) -> None:
    rng = np.random.default_rng(0)
    places = np.sort(rng.integers(0, 70, 150))
    score = rng.integers(0, levels, 150).astype(np.float32)
    is_positive = rng.random(150) < share
    weights = rng.integers(0, heaviest + 1, (70, BLOCK + 3)).astype(np.uint8)
    counted = half_pairs(walk(score, is_positive, places), in_blocks(weights))[: BLOCK + 3]
    some = [0, 1, 500, BLOCK - 1, BLOCK, BLOCK + 2]
    assert counted[some].tolist() == one_by_one(score, is_positive, weights[places][:, some])


def test_sums_too_large_for_narrow_numbers_are_exact() -> None:
    # 2 * 255 * 255 * 200 * 200 exceeds 32 bits.
    is_positive = np.arange(400) >= 200
    weights = np.full((1, 2), 255, np.uint8)
    counted = half_pairs(walk(np.arange(400.0), is_positive, np.zeros(400, np.int64)), in_blocks(weights))
    assert counted[:2].tolist() == [2 * 255**2 * 200**2] * 2


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("levels", [2, 300, 10**9])
def test_scores_are_put_in_order_and_equal_ones_stay_as_they_stand(kind: type, levels: int) -> None:
    rng = np.random.default_rng(levels)
    for count in (0, 1, 2, 5000):
        scores = (rng.integers(-levels, levels, count) / 7).astype(kind) * kind(10) ** rng.integers(-30, 30)
        np.testing.assert_array_equal(ascending(scores), np.argsort(scores, kind="stable"))
        np.testing.assert_array_equal(ascending(scores[::-2]), np.argsort(scores[::-2], kind="stable"))


def test_the_ends_of_the_scale_are_in_order() -> None:
    least = np.finfo(np.float32).smallest_subnormal
    scores = np.array([1, -np.inf, least, -least, np.inf, -1, 0, -3e38, 3e38], dtype=np.float32)
    assert scores[ascending(scores)].tolist() == sorted(scores.tolist())
    # Two zeros are equal: whichever comes first, both are tied.
    zeros = np.array([0.0, -0.0, 0.0, -0.0])
    walked = walk(zeros, np.array([True, False, False, True]), np.arange(4))
    assert half_pairs(walked, in_blocks(np.ones((4, 1), np.uint8)))[0] == 4
