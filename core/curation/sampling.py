"""Hierarchical sampling: as equal a share of every cluster as its size allows, from the top of the tree downwards."""

from __future__ import annotations

import numpy as np

from core.curation.tree import Tree, places
from core.data.types import Ints
from core.errors import check_choice, check_range

DRAWS = ("random", "nearest")


def shares(sizes: Ints, total: int, rng: np.random.Generator) -> Ints:
    """How many of `total` each of some siblings gets, [K] int64; all of it, where they have no more.

    Everyone gets min(c, size), c the largest integer that they can all have; what is left goes by ones to random
    siblings that still have points.
    """
    total = min(total, int(sizes.sum()))
    # sum_j min(c, size_j) at each distinct size: the bound lies in the first stretch that goes beyond the total.
    ordered = np.sort(sizes)
    before = np.concatenate([[0], np.cumsum(ordered)])
    whole = before[:-1] + ordered * np.arange(len(ordered), 0, -1)
    full = int(np.searchsorted(whole, total, side="right"))
    if full == len(ordered):
        return sizes.copy()
    bound = (total - int(before[full])) // (len(ordered) - full)
    share = np.minimum(sizes, bound)
    more = np.flatnonzero(sizes > bound)
    share[rng.choice(more, total - int(share.sum()), replace=False)] += 1
    return share


def quotas(tree: Tree, total: int, rng: np.random.Generator) -> list[Ints]:
    """How many points are drawn of every cluster, for each level from the finest: [counts of the level] int64."""
    quota = shares(tree.sizes(tree.depth), total, rng)
    found = [quota]
    for level in range(tree.depth, 1, -1):
        parent, sizes = tree.parents[level - 1], tree.sizes(level - 1)
        below = np.zeros(len(parent), np.int64)
        order = np.argsort(parent, kind="stable")
        ends = np.searchsorted(parent[order], np.arange(len(quota) + 1))
        for node in np.flatnonzero(quota):
            children = order[ends[node] : ends[node + 1]]
            below[children] = shares(sizes[children], int(quota[node]), rng)
        quota = below
        found.append(quota)
    return found[::-1]


def sample(tree: Tree, total: int, rng: np.random.Generator, draw: str = "random") -> Ints:
    """Rows of min(total, N) points, ascending, drawn down the tree.

    draw: which points of a level-1 cluster, random or nearest its centroid first. Raises ConfigError for total < 1.
    """
    check_range("the number of points to draw", total, 1, float("inf"))
    check_choice("draw", draw, DRAWS)
    quota = quotas(tree, total, rng)[0]
    label = tree.labels(1)
    key = tree.distance if draw == "nearest" else rng.random(len(label))
    order = np.lexsort((key, label))
    chosen: Ints = np.sort(order[places(label[order]) < quota[label[order]]])
    return chosen
