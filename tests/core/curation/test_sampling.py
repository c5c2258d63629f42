"""Hierarchical sampling: every property that its definition states, and quotas against a search by trial."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.curation.sampling import DRAWS, quotas, sample, shares
from core.curation.tree import Tree
from core.errors import ConfigError
from tests.core.curation.trees import FEW, trees

seeds = st.integers(0, 2**32 - 1)


def greatest_bound(sizes: list[int], total: int) -> int:
    """The largest integer c with sum_j min(c, size_j) <= total, by trying; the largest size where there is no limit."""
    return max(c for c in range(max(sizes) + 1) if sum(min(c, size) for size in sizes) <= total)


@FEW
@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.integers(0, 200), seeds)
def test_shares_are_the_greatest_equal_ones_and_the_rest_by_ones(sizes: list[int], total: int, seed: int) -> None:
    found = shares(np.array(sizes), total, np.random.default_rng(seed)).tolist()
    bound = greatest_bound(sizes, total)
    assert sum(found) == min(total, sum(sizes))
    for share, size in zip(found, sizes, strict=True):
        assert share - min(bound, size) in ((0, 1) if size > bound else (0,))


@FEW
@given(trees(), st.integers(1, 250), seeds, st.sampled_from(DRAWS))
def test_a_sample_has_the_wanted_length_and_no_duplicates(tree: Tree, total: int, seed: int, draw: str) -> None:
    points = len(tree.parents[0])
    rows = sample(tree, total, np.random.default_rng(seed), draw)
    assert len(rows) == min(total, points) == len(set(rows.tolist()))
    assert rows.min() >= 0
    assert rows.max() < points
    if total >= points:
        assert rows.tolist() == list(range(points))
    assert rows.tolist() == sample(tree, total, np.random.default_rng(seed), draw).tolist()


@FEW
@given(trees(), st.integers(1, 250), seeds)
def test_quotas_sum_to_the_parents_and_siblings_differ_by_one_at_most(tree: Tree, total: int, seed: int) -> None:
    found = quotas(tree, total, np.random.default_rng(seed))
    top = found[-1]
    assert top.sum() == min(total, len(tree.parents[0]))
    families = [(top, tree.sizes(tree.depth))]
    for level in range(tree.depth - 1, 0, -1):
        quota, sizes, parent = found[level - 1], tree.sizes(level), tree.parents[level]
        for node in range(tree.counts[level]):
            children = parent == node
            assert quota[children].sum() == found[level][node]
            families.append((quota[children], sizes[children]))
    for quota, sizes in families:
        assert (quota <= sizes).all()
        free = quota[quota < sizes]
        if len(free):
            # Whoever could give more has as much as anybody, but for the rest by ones.
            assert quota.max() - free.min() <= 1


@FEW
@given(trees(), st.integers(1, 250), seeds)
def test_what_is_drawn_of_each_cluster_is_its_quota_and_the_nearest_come_first(
    tree: Tree, total: int, seed: int
) -> None:
    quota = quotas(tree, total, np.random.default_rng(seed))[0]
    for draw in DRAWS:
        rows = sample(tree, total, np.random.default_rng(seed), draw)
        drawn = np.bincount(tree.labels(1)[rows], minlength=tree.counts[0])
        assert drawn.tolist() == quota.tolist()
    left = np.setdiff1d(np.arange(len(tree.parents[0])), rows)
    for cluster in np.unique(tree.labels(1)[rows]):
        mine, others = (r[tree.labels(1)[r] == cluster] for r in (rows, left))
        assert len(others) == 0 or tree.distance[mine].max() <= tree.distance[others].min()


def test_points_of_a_cluster_are_drawn_at_random_by_default() -> None:
    flat = Tree((np.zeros(40, np.int64),), (1,), np.arange(40, dtype=np.float32), (np.zeros((1, 1), np.float32),))
    drawn = np.bincount(np.concatenate([sample(flat, 10, np.random.default_rng(s)) for s in range(400)]), minlength=40)
    # 400 draws of a quarter: 100 each, with a deviation of 8.7.
    assert abs(drawn - 100).max() < 45
    assert sample(flat, 10, np.random.default_rng(0), "nearest").tolist() == list(range(10))


def test_no_points_at_all_are_refused() -> None:
    flat = Tree((np.zeros(4, np.int64),), (1,), np.zeros(4, np.float32), (np.zeros((1, 1), np.float32),))
    with pytest.raises(ConfigError, match="number of points to draw=0"):
        sample(flat, 0, np.random.default_rng(0))
