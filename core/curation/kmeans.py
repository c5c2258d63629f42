"""k-means for hierarchical curation (arXiv 2405.15613): greedy k-means++, then Lloyd, distances by faiss.

faiss' own k-means moves a centroid without points to a large cluster; here it stays where it is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from core.curation.points import Points
from core.data.types import Floats, Ints
from core.errors import ConfigError, require

ITERATIONS = 50
# k-means++ looks at k points for each of n: above these many points, and as many for each centroid, at a random part.
SEEDING_POINTS, SEEDING_PER_CENTROID = 65_536, 64

Tick = Callable[[], None]


def nothing() -> None:
    """Nobody wants to know how far it is."""


@dataclass(frozen=True)
class Clusters:
    """k clusters of N points.

    centroids: [k, D] float32. label: [N] int64, the cluster of each point, the one whose centroid is nearest.
    distance: [N] float32, squared L2 distance to it.
    """

    centroids: Floats
    label: Ints
    distance: Floats

    @property
    def sizes(self) -> Ints:
        """[k] int64, points of each cluster; a cluster may be empty."""
        return np.bincount(self.label, minlength=len(self.centroids))


@functools.cache
def import_faiss() -> Any:
    """The package. Raises ConfigError with the line that installs it where it is absent."""
    try:
        import faiss
    except ImportError as error:
        raise ConfigError("k-means needs the package faiss-cpu", "pip install -c constraints.txt faiss-cpu") from error
    return faiss


def nearest(part: Floats, centroids: Floats) -> tuple[Ints, Floats]:
    """Of each point [n, D] the nearest centroid [n] int64, and the squared L2 distance to it [n] float32."""
    distance, label = import_faiss().knn(np.ascontiguousarray(part), np.ascontiguousarray(centroids), 1)
    return label[:, 0].astype(np.int64), np.maximum(distance[:, 0], 0.0)


def kmeans(
    points: Points, k: int, rng: np.random.Generator, iterations: int = ITERATIONS, tick: Tick = nothing
) -> Clusters:
    """k clusters of N >= k points: seeded by k-means++, then at most `iterations` of Lloyd's.

    tick: called after every pass over the points. Raises ConfigError when k is larger than N.
    """
    require(k <= len(points), f"{k} clusters of {len(points)} points", "ask for fewer clusters, or give more points")
    centroids = seeds(points, k, rng)
    label = np.full(len(points), -1, dtype=np.int64)
    for _ in range(iterations):
        found, moved = lloyd(points, centroids)
        tick()
        if np.array_equal(found, label):
            break
        label, centroids = found, moved
    return assign(points, centroids)


def assign(points: Points, centroids: Floats) -> Clusters:
    """Every point to the nearest of given centroids [k, D]."""
    label, distance = np.empty(len(points), np.int64), np.empty(len(points), np.float32)
    for start, part in points.chunks():
        rows = slice(start, start + len(part))
        label[rows], distance[rows] = nearest(part, centroids)
    return Clusters(centroids, label, distance)


def lloyd(points: Points, centroids: Floats) -> tuple[Ints, Floats]:
    """The cluster of each point [N], and the means of these clusters [k, D]; an empty one keeps its centroid."""
    label = np.empty(len(points), np.int64)
    sums, counts = np.zeros(centroids.shape), np.zeros(len(centroids))
    for start, part in points.chunks():
        found, _ = nearest(part, centroids)
        label[start : start + len(part)] = found
        ones = csr_array((np.ones(len(part)), (found, np.arange(len(part)))), shape=(len(centroids), len(part)))
        sums += ones @ part
        counts += np.bincount(found, minlength=len(centroids))
    filled = counts > 0
    moved = centroids.copy()
    moved[filled] = sums[filled] / counts[filled, None]
    return label, moved


def seeds(points: Points, k: int, rng: np.random.Generator) -> Floats:
    """k of the points [k, D] by greedy k-means++ (Arthur and Vassilvitskii 2007): 2 + ln k trials for each, best kept.

    Of many points a random part is looked at. A point may be chosen twice only where there are too few different ones.
    """
    looked_at = max(SEEDING_POINTS, SEEDING_PER_CENTROID * k)
    rows = np.arange(len(points))
    if len(points) > looked_at:
        rows = np.sort(rng.choice(len(points), looked_at, replace=False))
    pool = points.take(rows).array
    norms = np.einsum("nd,nd->n", pool, pool)
    trials = 2 + int(math.log(k))
    chosen = [int(rng.integers(len(pool)))]
    away = _distances(pool, norms, chosen)[0]
    for _ in range(k - 1):
        tried = _propose(away, trials, rng)
        left = np.minimum(away, _distances(pool, norms, tried))
        best = int(np.argmin(left.sum(axis=1, dtype=np.float64)))
        chosen.append(int(tried[best]))
        away = left[best]
    return pool[chosen]


def _distances(pool: Floats, norms: Floats, rows: Any) -> Floats:
    """Squared L2 distances [len(rows), N] of some of the points to all of them, 0 to themselves."""
    apart: Floats = norms[rows][:, None] - 2 * (pool[rows] @ pool.T) + norms
    apart[np.arange(len(rows)), rows] = 0
    return np.maximum(apart, 0)


def _propose(away: Floats, trials: int, rng: np.random.Generator) -> Ints:
    """`trials` rows, each with probability in proportion to its distance; any, where all distances are 0."""
    summed = np.cumsum(away, dtype=np.float64)
    if summed[-1] <= 0:
        return rng.integers(len(away), size=trials)
    found = np.searchsorted(summed, rng.random(trials) * summed[-1], side="right")
    return np.minimum(found, len(away) - 1)
