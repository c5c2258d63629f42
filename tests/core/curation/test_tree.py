"""The tree: levels over levels, resampling, levels in two steps, resuming, and what it is for: evenness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.bench.curation import bench_curation, centroids, divergence, plane
from core.curation import tree as tree_module
from core.curation.kmeans import Clusters
from core.curation.points import in_memory
from core.curation.tree import Level, TreeSettings, build_tree, nearest_rows
from core.errors import ConfigError, DataError
from tests.core.curation.trees import FEW


def settings(*levels: str, **more: object) -> TreeSettings:
    return TreeSettings(tuple(Level.parse(text) for text in levels), **{"iterations": 20, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("levels", [("60", "15", "4"), ("6x10", "15", "4"), ("60",)])
def test_every_node_belongs_to_the_nearest_centroid_above(levels: tuple[str, ...]) -> None:
    x = plane(0, 0.05)
    tree = build_tree(in_memory(x), settings(*levels, steps=2))
    below = x
    for level, (parent, above) in enumerate(zip(tree.parents, tree.centroids, strict=True), 1):
        assert tree.counts[level - 1] == len(above) <= int(np.prod([int(n) for n in levels[level - 1].split("x")]))
        assert tree.sizes(level).sum() == len(x)
        apart = ((below[:, None] - above[None]) ** 2).sum(axis=2)
        own = apart[np.arange(len(below)), parent]
        if "x" not in levels[level - 1]:
            np.testing.assert_allclose(own, apart.min(axis=1), atol=1e-4)
        if level == 1:
            np.testing.assert_allclose(tree.distance, own, atol=1e-4)
        below = above


def test_two_steps_divide_every_coarse_cluster_by_itself() -> None:
    rng = np.random.default_rng(1)
    sizes = (40, 9, 3)
    far = np.repeat(np.array([[0, 0], [50, 0], [0, 50]], np.float32), sizes, axis=0)
    x = (far + rng.normal(size=far.shape)).astype(np.float32)
    tree = build_tree(in_memory(x), settings("3x5", steps=1))
    # 5 + 5 + 3: a coarse cluster of three points has three clusters.
    assert tree.counts == (13,)
    owners = [set(np.flatnonzero(far[:, 0] + 2 * far[:, 1] == v).tolist()) for v in (0, 50, 100)]
    for cluster in range(13):
        members = set(np.flatnonzero(tree.labels(1) == cluster).tolist())
        assert sum(members <= owner for owner in owners) == 1


@FEW
@given(st.integers(0, 10**6), st.integers(1, 80), st.integers(1, 8), st.integers(1, 12))
def test_the_nearest_rows_of_each_cluster(seed: int, points: int, k: int, take: int) -> None:
    rng = np.random.default_rng(seed)
    label, distance = rng.integers(0, k, points), rng.random(points).astype(np.float32)
    rows = nearest_rows(Clusters(np.zeros((k, 1), np.float32), label, distance), take)
    expected = [r for c in range(k) for r in sorted(np.flatnonzero(label == c), key=lambda r: distance[r])[:take]]
    assert rows.tolist() == sorted(expected)


def test_resampling_is_off_at_one_and_half_the_mean_cluster_size_by_default() -> None:
    x = in_memory(plane(0, 0.03))
    plain = build_tree(x, settings("30", "6", steps=0)).centroids[-1]
    for off in ((0, 0), (1, 1)):
        np.testing.assert_array_equal(build_tree(x, settings("30", "6", resample=off)).centroids[-1], plain)
    assert not np.array_equal(build_tree(x, settings("30", "6", resample=(3, 2))).centroids[-1], plain)
    assert settings("30", "6").nearest_points(0, 270) == 4
    assert settings("30", "6", resample=(3, 2)).nearest_points(1, 270) == 2


def test_the_same_settings_give_the_same_tree_and_others_do_not() -> None:
    x = in_memory(plane(0, 0.03))
    first, same, other = (build_tree(x, settings("30", "6", seed=seed, steps=2)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.labels(2), same.labels(2))
    np.testing.assert_array_equal(first.centroids[0], same.centroids[0])
    assert not np.array_equal(first.centroids[0], other.centroids[0])


def test_finished_levels_are_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = in_memory(plane(0, 0.03))
    wanted = settings("40", "12", "4", steps=1)
    whole = build_tree(x, wanted)
    build, asked = tree_module._level, []

    def killed(points, settings, number):  # type: ignore[no-untyped-def]
        asked.append(number)
        if asked == [0, 1]:
            raise KeyboardInterrupt
        return build(points, settings, number)

    monkeypatch.setattr(tree_module, "_level", killed)
    with pytest.raises(KeyboardInterrupt):
        build_tree(x, wanted, tmp_path)
    resumed = build_tree(x, wanted, tmp_path)
    assert asked == [0, 1, 1, 2]
    for one, two in zip(whole.parents + whole.centroids, resumed.parents + resumed.centroids, strict=True):
        np.testing.assert_array_equal(one, two)
    build_tree(x, wanted, tmp_path)
    assert asked == [0, 1, 1, 2]
    (tmp_path / "level_2.npz").write_bytes((tmp_path / "level_2.npz").read_bytes()[:100])
    with pytest.raises(DataError, match=r"level_2.npz cannot be read"):
        build_tree(x, wanted, tmp_path)
    with pytest.raises(DataError, match=r"level_1.npz is a level over 270 points, not 100"):
        build_tree(in_memory(plane(0, 0.03)[:100]), wanted, tmp_path)


@pytest.mark.parametrize(
    ("levels", "more", "message"),
    [
        ((), {}, "at least one level"),
        (("10", "10"), {}, r"levels=\[10, 10\] do not fall"),
        (("ten",), {}, "a level of 'ten' clusters"),
        (("0",), {}, "a level of 0 clusters"),
        (("30",), {"resample": (1, 2)}, r"resample=\[1, 2\] for 1 levels"),
        (("30",), {"iterations": 0}, "iterations=0"),
    ],
)
def test_settings_that_cannot_be(levels: tuple[str, ...], more: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(*levels, **more)


def test_more_clusters_than_points_are_refused() -> None:
    with pytest.raises(ConfigError, match="level 1 has 300 clusters, and there are only 270 points"):
        build_tree(in_memory(plane(0, 0.03)), settings("300", "6"))
    # Coarse clusters that are small have fewer clusters than asked for, so that too few may be left to cluster.
    x = np.repeat(np.array([[0.0], [100.0]], np.float32), (30, 2), axis=0) + plane(0, 0.01)[:32, :1] / 10
    with pytest.raises(ConfigError, match="level 2 has 9 clusters, and there are only 7 clusters of level 1"):
        build_tree(in_memory(x), settings("2x5", "9", steps=0))


def test_the_density_of_the_plane_is_measured_as_by_its_definition() -> None:
    # The closed form of the kernel density on a coarse part of the grid, point by point.
    points = plane(3, 0.01)
    cells = np.arange(-2.99, 3, 0.02)
    density = np.zeros((300, 300))
    for x, y in points.astype(np.float64):
        density += np.exp(-((cells[:, None] - x) ** 2 + (cells[None] - y) ** 2) / 0.5)
    density /= density.sum()
    assert divergence(points) == pytest.approx(float((density * np.log(density * 90_000)).sum()), rel=1e-9)


def test_more_levels_and_resampling_make_the_plane_more_even() -> None:
    """The acceptance figures' order at a tenth of their size; `viewpair bench curation` holds the figures."""
    trees = (((), ()), ((30,), (0,)), ((300, 100, 30), (0, 0, 0)), ((300, 100, 30), (2, 2, 2)))
    found = np.array([[divergence(centroids(plane(s, 0.1), *tree, s)) for tree in trees] for s in range(2)]).mean(0)
    raw, one, three, resampled = found
    assert 0.9 < raw < 1.0
    assert one < 0.55 * raw
    assert three < 0.6 * one
    assert resampled < 0.95 * three


def test_the_benchmark_has_a_row_for_each_published_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.bench.curation.PUBLISHED", {"raw": ((), (), 0.942, 0.951, 0.951)})
    (row,) = bench_curation(3)
    assert row["within"]
    assert row["least"] <= row["mean"] <= row["greatest"]
    assert (row["tree"], row["authors"], row["re_run"]) == ("raw", 0.942, "0.951")
