"""Batches with an equal share of every cluster (arXiv 2503.18709): rare kinds are seen as often as common ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.config import BatchesConfig, TrialConfig, setting
from core.data.batches.base import BATCHES, Course
from core.data.types import Ints
from core.errors import check_range, require

DRAW_STREAM, TURN_STREAM, PLACE_STREAM = 2, 3, 4


@dataclass
class StratifiedConfig(BatchesConfig):
    """Which clusters share a batch."""

    name: str = setting("stratified", "equal shares of every cluster that curation found")
    level: int = setting(0, "level of the tree whose clusters share a batch, 1 = the finest; 0 = the coarsest")

    def __post_init__(self) -> None:
        check_range("batches.level", self.level, 0, 100)

    def check_trial(self, trial: TrialConfig) -> None:
        """There must be clusters, on that level, and batches that may be composed freely."""
        levels = 0 if trial.curation is None else trial.curation.n_levels
        require(
            levels > 0,
            "batches=stratified needs clusters, and nothing finds any",
            "use curation=tree or metadata (with curation.keep=1 to train on everything)",
        )
        check_range("batches.level", self.level, 0, levels)
        require(
            trial.loader.backend == "mmap",
            "batches=stratified cannot be streamed: a stream cannot choose whom it brings next",
            "use loader.backend=mmap",
        )


@BATCHES.register("stratified", config=StratifiedConfig, source="arXiv 2503.18709")
class StratifiedBatches:
    """Equal shares of every cluster; inside a cluster, who was seen fewest times so far.

    Of a batch of B studies each of K clusters gets floor(B / K), and the clusters take turns at the rest. A cluster's
    studies come in random orders, one after the other, so that no one is seen twice before all have been seen once; a
    study stands twice in a batch where its cluster is smaller than its share, and now and then where an order ends.
    What a step shows follows from the number of the step, so that a run can go on anywhere.
    """

    def __init__(self, config: StratifiedConfig, clusters: Ints) -> None:
        self.config = config
        # Level 0 is the last one: the coarsest.
        self.clusters: Ints = clusters[config.level - 1]

    def order(self, anchor: Ints, course: Course) -> Ints:
        """Rows [steps * batch] of `anchor`; inside a batch in random order, so that every rank sees all clusters."""
        _, members = np.unique(self.clusters[anchor], return_inverse=True)
        found = np.empty((course.steps, course.batch), np.int64)
        filled = np.zeros(course.steps, np.int64)
        count = int(members.max()) + 1
        turns = np.random.default_rng([course.seed, 0, TURN_STREAM]).permutation(count)
        for cluster in range(count):
            ends = self._drawn_before(int(turns[cluster]), count, course)
            drawn = self._draw(np.flatnonzero(members == cluster), cluster, course.seed, int(ends[0]), int(ends[-1]))
            step = np.repeat(np.arange(course.steps), np.diff(ends))
            place = np.arange(len(drawn)) - np.repeat(ends[:-1] - ends[0], np.diff(ends))
            found[step, filled[step] + place] = drawn
            filled += np.diff(ends)
        rng = np.random.default_rng([course.seed, course.epoch, PLACE_STREAM])
        return rng.permuted(found, axis=1).reshape(-1)

    @staticmethod
    def _drawn_before(turn: int, count: int, course: Course) -> Ints:
        """[steps + 1] int64, how many were drawn of a cluster before each step of the epoch and before the next one."""
        step = course.epoch * course.steps + np.arange(course.steps + 1)
        whole, rest = divmod(course.batch, count)
        return step * whole + (step * rest + count - 1 - turn) // count

    @staticmethod
    def _draw(rows: Ints, cluster: int, seed: int, first: int, last: int) -> Ints:
        """Draws first to last - 1 of a cluster's rows [n]: its random orders one after the other."""
        orders = range(first // len(rows), -(-last // len(rows)))
        drawn = [np.random.default_rng([seed, cluster, DRAW_STREAM, 1 + n]).permutation(rows) for n in orders]
        start = orders.start * len(rows)
        return np.concatenate([*drawn, rows[:0]])[first - start : last - start]
