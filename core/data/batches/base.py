"""What fills a batch: which rows of an epoch's draw stand together, and in which order they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from core.config import BatchesConfig
from core.data.types import Ints
from core.registry import Registry

# Streams of random numbers, so that the order of studies is the same under every pairing.
PAIRING_STREAM, ORDER_STREAM = 0, 1


@dataclass(frozen=True)
class Course:
    """Where an order is asked for. seed: the trial's. steps: batches an epoch. batch: studies in one, of all ranks."""

    seed: int
    epoch: int
    steps: int
    batch: int


class BatchFilling(Protocol):
    """Built as `BatchFilling(config, clusters)`.

    clusters: [T, S] int64, of each study of the table that is shown, on T levels, the finest first; T is 0 where
    nothing found any.
    """

    def order(self, anchor: Ints, course: Course) -> Ints:
        """Rows of `anchor` [R] (study rows) as an epoch shows them, [>= steps * batch] int64; the rest is not shown.

        A function of its arguments alone.
        """


BATCHES: Registry[type[BatchFilling]] = Registry("batches", "core.data.batches")

__all__ = ["BATCHES", "ORDER_STREAM", "PAIRING_STREAM", "BatchFilling", "BatchesConfig", "Course"]
