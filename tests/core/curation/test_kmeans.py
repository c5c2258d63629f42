"""k-means against brute force in float64, and where it differs from others': empty clusters, greedy seeding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import kmeans_plusplus

from core.curation.kmeans import assign, kmeans, lloyd, seeds
from core.curation.points import Points, checked, in_memory
from core.errors import ConfigError, DataError
from tests.core.curation.trees import FEW


def cloud(seed: int, points: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(points, width)) + rng.integers(-3, 4, (points, 1))).astype(np.float32)


def squared(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return ((points[:, None].astype(np.float64) - centroids[None].astype(np.float64)) ** 2).sum(axis=2)


@FEW
@given(st.integers(0, 10**6), st.integers(2, 90), st.integers(1, 9), st.integers(1, 12))
def test_clusters_are_what_their_definition_says(seed: int, points: int, width: int, k: int) -> None:
    x, k = cloud(seed, points, width), min(k, points)
    found = kmeans(in_memory(x), k, np.random.default_rng(seed), iterations=30)
    apart = squared(x, found.centroids)
    assert found.centroids.shape == (k, width)
    # The nearest centroid, up to the rounding of float32 products.
    np.testing.assert_allclose(apart[np.arange(points), found.label], apart.min(axis=1), atol=1e-3)
    np.testing.assert_allclose(found.distance, apart.min(axis=1), atol=1e-3)
    label, moved = lloyd(in_memory(x), found.centroids)
    for cluster in np.unique(label):
        np.testing.assert_allclose(moved[cluster], x[label == cluster].astype(np.float64).mean(axis=0), atol=1e-4)
    # No iteration makes it worse.
    assert squared(x, moved).min(axis=1).sum() <= apart.min(axis=1).sum() + 1e-2


def test_an_empty_cluster_keeps_its_centroid() -> None:
    x = in_memory(np.array([[0, 0], [1, 0], [10, 0], [11, 0]], np.float32))
    centroids = np.array([[0.4, 0], [10.4, 0], [99, 99]], np.float32)
    label, moved = lloyd(x, centroids)
    assert label.tolist() == [0, 0, 1, 1]
    assert moved.tolist() == [[0.5, 0], [10.5, 0], [99, 99]]
    assert assign(x, centroids).sizes.tolist() == [2, 2, 0]


def test_iterations_end_early_only_where_nothing_moves_any_more() -> None:
    x = in_memory(cloud(3, 400, 3))
    rng = [np.random.default_rng(0) for _ in range(3)]
    passes = [0, 0]

    def tick(which: int) -> None:
        passes[which] += 1

    settled = kmeans(x, 12, rng[0], 500, lambda: tick(0))
    assert 1 < passes[0] < 500
    longer = kmeans(x, 12, rng[1], 5000, lambda: tick(1))
    np.testing.assert_array_equal(settled.centroids, longer.centroids)
    assert not np.array_equal(kmeans(x, 12, rng[2], 1).centroids, settled.centroids)


def test_seeds_are_points_of_separate_groups() -> None:
    # Six far groups of very different sizes: uniform seeding would miss the small ones, k-means++ finds each.
    sizes, rng = (500, 200, 50, 5, 3, 2), np.random.default_rng(0)
    group = np.repeat(np.arange(6), sizes)
    x = (rng.normal(scale=0.01, size=(len(group), 4)) + 100 * rng.normal(size=(6, 4))[group]).astype(np.float32)
    for seed in range(20):
        chosen = seeds(in_memory(x), 6, np.random.default_rng(seed))
        rows = [int(np.flatnonzero((x == row).all(axis=1))[0]) for row in chosen]
        assert sorted(group[rows]) == [0, 1, 2, 3, 4, 5]


def test_more_clusters_than_different_points_leave_some_empty() -> None:
    x = np.repeat(np.eye(3, dtype=np.float32), 5, axis=0)
    found = kmeans(in_memory(x), 5, np.random.default_rng(0))
    assert sorted(found.sizes.tolist(), reverse=True)[:3] == [5, 5, 5]
    assert found.distance.max() == 0


def test_more_clusters_than_points_are_refused() -> None:
    with pytest.raises(ConfigError, match="9 clusters of 8 points"):
        kmeans(in_memory(cloud(0, 8, 2)), 9, np.random.default_rng(0))


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_a_memory_map_far_from_the_origin_is_clustered_like_a_matrix_in_memory(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.curation.points.CHUNK", 64)
    offset = 0 if kind == "float16" else 1000
    np.save(tmp_path / "x.npy", (cloud(5, 300, 4) + offset).astype(kind))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    points = checked(mapped, "x")
    np.testing.assert_allclose(points.centre, mapped.astype(np.float64).mean(axis=0), rtol=1e-5, atol=1e-5)
    found = kmeans(points, 7, np.random.default_rng(1))
    again = kmeans(in_memory(points.whole()), 7, np.random.default_rng(1))
    np.testing.assert_array_equal(found.label, again.label)
    apart = squared(mapped.astype(np.float64), found.centroids + points.centre.astype(np.float64))
    np.testing.assert_allclose(apart[np.arange(300), found.label], apart.min(axis=1), atol=2e-3)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 3), np.float32), r"shape \(0, 3\)"),
        (np.zeros(5, np.float32), r"shape \(5,\)"),
        (np.zeros((5, 2), np.int64), "holds int64"),
        (np.array([[0, 1], [2, np.nan]], np.float32), "row 1 is not finite"),
        (np.array([[0, 1], [2, 1], [np.inf, 0]], np.float16), "row 2 is not finite"),
        (np.full((5, 2), 3.25, np.float32), "all 5 embeddings are the same"),
    ],
)
def test_what_cannot_be_clustered_is_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=f"x.npy.* {message}|x.npy: {message}"):
        checked(array, "x.npy")


def test_a_part_of_points_has_their_coordinates() -> None:
    x = cloud(0, 50, 3)
    points = Points(x, np.full(3, 2, np.float32))
    np.testing.assert_array_equal(points.take(np.array([4, 2])).whole(), x[[4, 2]] - 2)


def test_seeding_is_as_good_as_the_greedy_one_of_scikit_learn_and_better_than_the_plain_one() -> None:
    x = cloud(7, 600, 2)

    def potential(chosen: np.ndarray) -> float:
        return float(squared(x, chosen).min(axis=1).sum())

    ours = np.mean([potential(seeds(in_memory(x), 20, np.random.default_rng(s))) for s in range(25)])
    greedy, plain = (
        np.mean([potential(kmeans_plusplus(x, 20, random_state=s, n_local_trials=trials)[0]) for s in range(25)])
        for trials in (None, 1)
    )
    assert ours == pytest.approx(greedy, rel=0.06)
    assert ours < 0.9 * plain
