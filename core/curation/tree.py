"""Hierarchical k-means with resampling (arXiv 2405.15613): level t clusters the centroids of level t - 1."""

from __future__ import annotations

import itertools
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.curation.kmeans import ITERATIONS, Clusters, Tick, assign, kmeans
from core.curation.points import Points, in_memory
from core.data.types import Floats, Ints
from core.errors import ConfigError, DataError, check_range, require
from core.io import atomic_path
from core.progress import Progress

SPELLING = re.compile(r"(?:(\d+)x)?(\d+)")


@dataclass(frozen=True)
class Level:
    """How many clusters a level has: `coarse` of all points first, each of them then divided by `fine`.

    coarse: 1 where all clusters are found at once.
    """

    coarse: int
    fine: int

    @classmethod
    def parse(cls, text: str) -> Level:
        """ "300" or, divided in two steps, "100x30". Raises ConfigError for anything else."""
        found = SPELLING.fullmatch(str(text).strip())
        if found is None:
            raise ConfigError(f"a level of {text!r} clusters", 'write a number, such as 300, or "100x30" for two steps')
        level = cls(int(found[1] or 1), int(found[2]))
        require(level.coarse > 0 and level.fine > 0, f"a level of {text} clusters", "give at least one")
        return level

    @property
    def clusters(self) -> int:
        """How many there are at most."""
        return self.coarse * self.fine


@dataclass(frozen=True)
class TreeSettings:
    """How a tree is built. levels: from the finest. resample: for each level r, the points nearest its centroid that
    are taken of each cluster; at most 1 = no resampling; none given = half the mean cluster size. steps: how often.
    """

    levels: tuple[Level, ...]
    resample: tuple[int, ...] = ()
    steps: int = 10
    iterations: int = ITERATIONS
    seed: int = 0

    def __post_init__(self) -> None:
        require(bool(self.levels), "levels=[]: a tree has at least one level", "such as levels=[300,30]")
        sizes = [level.clusters for level in self.levels]
        falling = all(after < before for before, after in itertools.pairwise(sizes))
        require(
            falling, f"levels={sizes} do not fall", "give the finest level first: each has fewer than the one before"
        )
        fits = len(self.resample) in (0, len(self.levels))
        require(
            fits, f"resample={list(self.resample)} for {len(self.levels)} levels", "give one number a level, or none"
        )
        check_range("steps", self.steps, 0, 10_000)
        check_range("iterations", self.iterations, 1, 100_000)

    def nearest_points(self, number: int, points: int) -> int:
        """r of level `number` (from 0), which clusters so many points."""
        if self.resample:
            return self.resample[number]
        return points // (2 * self.levels[number].clusters)


@dataclass(frozen=True)
class Tree:
    """A hierarchy over N points.

    parents: for each level t from 1, [n of level t - 1] int64, the level's cluster of each node below (level 0 are the
    points). counts: clusters of each level, some perhaps empty. distance: [N] float32, squared L2 distance of each
    point to its level-1 centroid. centroids: of each level [counts, D] float32, around the points' centre.
    """

    parents: tuple[Ints, ...]
    counts: tuple[int, ...]
    distance: Floats
    centroids: tuple[Floats, ...]

    @property
    def depth(self) -> int:
        """Number of levels."""
        return len(self.parents)

    def labels(self, level: int) -> Ints:
        """[N] int64, the cluster of each point at a level, from 1 (the finest)."""
        found = self.parents[0]
        for parent in self.parents[1:level]:
            found = parent[found]
        return found

    def sizes(self, level: int) -> Ints:
        """[counts of the level] int64, points below each of its clusters. Level 0: 1 for each point."""
        if level == 0:
            return np.ones(len(self.parents[0]), np.int64)
        return np.bincount(self.labels(level), minlength=self.counts[level - 1])


def build_tree(points: Points, settings: TreeSettings, folder: Path | None = None) -> Tree:
    """The tree of N points; a level that is finished in `folder` is read from there, and others are kept there.

    The same points and settings give the same tree. Raises ConfigError when a level has more clusters than there are
    points, or nodes below it.
    """
    found: list[Clusters] = []
    below = points
    for number, level in enumerate(settings.levels):
        what = "points" if number == 0 else f"clusters of level {number}"
        require(
            level.clusters <= len(below),
            f"level {number + 1} has {level.clusters} clusters, and there are only {len(below)} {what}",
            "give smaller levels, or more points",
        )
        path = folder / f"level_{number + 1}.npz" if folder else None
        clusters = _read(path, len(below)) if path and path.exists() else None
        if clusters is None:
            clusters = _level(below, settings, number)
            if path:
                _write(path, clusters)
        found.append(clusters)
        below = in_memory(clusters.centroids)
    return Tree(
        parents=tuple(c.label for c in found),
        counts=tuple(len(c.centroids) for c in found),
        distance=found[0].distance,
        centroids=tuple(c.centroids for c in found),
    )


def _write(path: Path, clusters: Clusters) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, centroids=clusters.centroids, label=clusters.label, distance=clusters.distance)


def _read(path: Path, points: int) -> Clusters:
    try:
        with np.load(path, allow_pickle=False) as saved:
            clusters = Clusters(saved["centroids"], saved["label"], saved["distance"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read ({error})", "delete it; the level is built again") from error
    if len(clusters.label) != points:
        raise DataError(f"{path} is a level over {len(clusters.label)} points, not {points}", "delete its folder")
    return clusters


def _level(points: Points, settings: TreeSettings, number: int) -> Clusters:
    level, take = settings.levels[number], settings.nearest_points(number, len(points))
    passes = level.coarse + 1 if level.coarse > 1 else 1
    passes *= settings.iterations * (1 + (settings.steps if take > 1 else 0))
    title = f"level {number + 1}: {level.clusters} clusters"
    with Progress(title, passes, "passes") as progress:
        part = _Part(settings, take, level.fine, progress.advance)
        if level.coarse == 1:
            return part.divide(points, np.random.default_rng([settings.seed, number]))
        return _in_two_steps(points, level.coarse, part, number)


@dataclass(frozen=True)
class _Part:
    """How points that are looked at together are divided."""

    settings: TreeSettings
    take: int
    clusters: int
    tick: Tick

    def divide(self, points: Points, rng: np.random.Generator) -> Clusters:
        """k-means, then `steps` times again on the points nearest the centroids, all points re-assigned."""
        k = min(self.clusters, len(points))
        found = kmeans(points, k, rng, self.settings.iterations, self.tick)
        for _ in range(self.settings.steps if self.take > 1 else 0):
            rows = nearest_rows(found, self.take)
            # Clusters without points leave too few rows when there are hardly more points than clusters.
            if len(rows) < k:
                break
            again = kmeans(points.take(rows), k, rng, self.settings.iterations, self.tick)
            found = assign(points, again.centroids)
        return found


def nearest_rows(clusters: Clusters, take: int) -> Ints:
    """Of each cluster the `take` points nearest its centroid (all, where it has fewer), in the points' order."""
    order = np.lexsort((clusters.distance, clusters.label))
    chosen: Ints = np.sort(order[places(clusters.label[order]) < take])
    return chosen


def places(label: Ints) -> Ints:
    """[N] int64, the how manieth of its label each element of sorted labels [N] is, from 0."""
    start = np.searchsorted(label, label, side="left")
    return np.arange(len(label)) - start


def _in_two_steps(points: Points, coarse: int, part: _Part, number: int) -> Clusters:
    """Each of `coarse` clusters divided by itself; a point's cluster is the nearest of its own coarse cluster."""
    rough = kmeans(
        points, coarse, np.random.default_rng([part.settings.seed, number]), part.settings.iterations, part.tick
    )
    label, distance = np.empty(len(points), np.int64), np.empty(len(points), np.float32)
    centroids: list[Floats] = []
    for which in np.flatnonzero(rough.sizes):
        rows = np.flatnonzero(rough.label == which)
        rng = np.random.default_rng([part.settings.seed, number, int(which)])
        found = part.divide(points.take(rows), rng)
        label[rows] = sum(map(len, centroids)) + found.label
        distance[rows] = found.distance
        # Read with the points' own centre, which `take` has subtracted: the same coordinates as everywhere.
        centroids.append(found.centroids)
    return Clusters(np.concatenate(centroids), label, distance)
