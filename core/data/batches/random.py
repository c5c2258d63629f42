"""Batches that ignore clusters: every study once an epoch, in random order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.config import BatchesConfig, setting
from core.data.batches.base import BATCHES, ORDER_STREAM, Course
from core.data.types import Ints


@dataclass
class RandomConfig(BatchesConfig):
    """No settings."""

    name: str = setting("random", "every study once an epoch, in random order")


@BATCHES.register("random", config=RandomConfig)
class RandomBatches:
    """A random order of all studies, drawn anew each epoch."""

    def __init__(self, config: RandomConfig, clusters: Ints) -> None:
        self.config = config

    def order(self, anchor: Ints, course: Course) -> Ints:
        """A permutation of all rows [R]; a function of (seed, epoch) alone."""
        return np.random.default_rng([course.seed, course.epoch, ORDER_STREAM]).permutation(len(anchor))
