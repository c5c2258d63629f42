"""Batches by arithmetic: batch = f(seed, epoch, step), whatever the number of workers or where a run resumes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from core.config import LoaderConfig
from core.data.batches.base import PAIRING_STREAM, BatchFilling, Course
from core.data.batches.random import RandomBatches, RandomConfig
from core.data.pairings.base import Pairing, Pairs
from core.data.readahead import read_ahead
from core.data.store import StudyTable
from core.data.types import Bools, Bytes, Ints
from core.errors import require
from core.methods.base import ViewBatch

ReadPixels = Callable[[Ints], Bytes]


class Batches(Protocol):
    """What every loader offers. Steps are optimiser steps counted from 0 over all epochs."""

    steps_per_epoch: int

    def batches(self, start_step: int, stop_step: int) -> Iterator[ViewBatch]:
        """This rank's part of batches start_step to stop_step - 1: CPU tensors, uint8 images."""

    def pair_counts(self, epoch: int) -> dict[str, int]:
        """How many pairs of each kind an epoch's batches form; of kinds without a pair, how many studies."""

    def study_ids(self, batch: ViewBatch) -> list[str]:
        """The ids of a batch's studies."""


@dataclass(frozen=True)
class Epoch:
    """One epoch's draw. order: [R] int64, rows of `pairs` in the order in which they are shown."""

    pairs: Pairs
    order: Ints


def share_of_batch(batch_size: int, studies: int, world_size: int) -> int:
    """Studies of a global batch that one process gets; the batch shrinks when there are fewer studies.

    Raises ConfigError when the batch cannot be divided equally, or when there is nothing to divide.
    """
    require(
        batch_size % world_size == 0,
        f"train.batch_size={batch_size} cannot be divided equally among {world_size} processes",
        f"choose a multiple of {world_size}",
    )
    require(studies > 0, "the pairing strategy leaves no study to train on", "choose another pairing, or keep unpaired")
    share = min(batch_size, studies) // world_size
    require(share > 0, f"{studies} studies are too few for {world_size} processes", "use fewer processes")
    return share


def pack(
    table: StudyTable, pairs: Pairs, rows: Ints, rank: int, world_size: int, read: ReadPixels, labelled: Bools
) -> ViewBatch:
    """This rank's part of the global batch that shows `rows` [G] of `pairs`."""
    images, share = pairs.images[rows], len(rows) // world_size
    present = images >= 0
    left, right = np.triu_indices(images.shape[1], 1)
    valid = present[:, left] & present[:, right] & pairs.aligned[rows][:, None]
    mine = slice(rank * share, (rank + 1) * share)
    study, slot = np.nonzero(present[mine])
    place = np.cumsum(present[mine]).reshape(share, -1) - 1
    positive = np.stack([place[:, left][valid[mine]], place[:, right][valid[mine]]], axis=1)
    flat, anchor = images[mine][present[mine]], pairs.anchor[rows[mine]]
    return ViewBatch(
        images=torch.from_numpy(read(flat))[:, None],
        view=torch.from_numpy(table.view[flat]),
        study=torch.from_numpy(study),
        pairs=torch.from_numpy(positive),
        labels=torch.from_numpy(table.labels[anchor]),
        index=torch.from_numpy(anchor),
        labelled=torch.from_numpy(labelled[anchor]),
        slot=torch.from_numpy((study + mine.start) * images.shape[1] + slot),
        slots=images.size,
        images_per_study=tuple(present.sum(axis=1).tolist()),
        pairs_per_study=tuple(valid.sum(axis=1).tolist()),
        report=torch.from_numpy(np.empty((share, 0), np.int64) if table.reports is None else table.reports[anchor]),
    )


def pin(batch: ViewBatch) -> ViewBatch:
    """The batch in page-locked memory, from which copies to the device need not wait."""
    tensors = {name: value.pin_memory() for name, value in vars(batch).items() if isinstance(value, torch.Tensor)}
    return replace(batch, **tensors)  # type: ignore[arg-type]


class Loader:
    """Batches read from memory-mapped pixels in exact order.

    batch_size: studies of a global batch. labelled: [S] bool, studies whose labels may be used (default all).
    filling: which studies stand together in a batch (default: random ones).
    Of each global batch this rank gets a contiguous slice. The last, incomplete batch of an epoch is dropped.
    """

    def __init__(
        self,
        table: StudyTable,
        pairing: Pairing,
        config: LoaderConfig,
        *,
        seed: int,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        labelled: Bools | None = None,
        filling: BatchFilling | None = None,
    ) -> None:
        self.filling = filling or RandomBatches(RandomConfig(), np.empty((0, table.n_studies), np.int64))
        self.table, self.pairing, self.config, self.seed = table, pairing, config, seed
        self.labelled = np.ones(table.n_studies, dtype=bool) if labelled is None else labelled
        self.rank, self.world_size = rank, world_size
        self._epochs: dict[int, Epoch] = {}
        self._lock = threading.Lock()
        rows = len(self.pairs(0).anchor)
        self.share = share_of_batch(batch_size, rows, world_size)
        self.global_batch = self.share * world_size
        self.steps_per_epoch = rows // self.global_batch

    def pairs(self, epoch: int) -> Pairs:
        """The pairs of an epoch; a function of (seed, epoch) alone."""
        return self.pairing.draw(self.table, np.random.default_rng([self.seed, epoch, PAIRING_STREAM]))

    def order(self, pairs: Pairs, epoch: int) -> Ints:
        """The order in which an epoch shows its rows of `pairs`; a function of (seed, epoch) and the batch's size."""
        return self.filling.order(pairs.anchor, Course(self.seed, epoch, self.steps_per_epoch, self.global_batch))

    def epoch(self, number: int) -> Epoch:
        """The draw of one epoch; the last two are kept."""
        with self._lock:
            if number not in self._epochs:
                pairs = self.pairs(number)
                kept = {n: e for n, e in self._epochs.items() if n == number - 1}
                self._epochs = {**kept, number: Epoch(pairs, self.order(pairs, number))}
            return self._epochs[number]

    def batch(self, step: int, read: ReadPixels | None = None) -> ViewBatch:
        """This rank's part of the batch of one step; its pixels by `read`, by memory map if that is not given."""
        number, place = divmod(step, self.steps_per_epoch)
        epoch = self.epoch(number)
        rows = epoch.order[place * self.global_batch : (place + 1) * self.global_batch]
        read = read or self.table.pixels.read
        return pack(self.table, epoch.pairs, rows, self.rank, self.world_size, read, self.labelled)

    def batches(self, start_step: int, stop_step: int) -> Iterator[ViewBatch]:
        """This rank's part of batches start_step to stop_step - 1, read ahead by `loader.workers` threads."""
        make, prepare_thread = pinned(self.batch)
        return read_ahead(
            make,
            start_step,
            stop_step,
            workers=self.config.workers,
            prefetch=self.config.prefetch,
            prepare_thread=prepare_thread,
        )

    def pair_counts(self, epoch: int) -> dict[str, int]:
        """How many pairs of each kind an epoch's batches form; of kinds without a pair, how many studies."""
        drawn = self.epoch(epoch)
        return drawn.pairs.counts(drawn.order[: self.steps_per_epoch * self.global_batch])

    def study_ids(self, batch: ViewBatch) -> list[str]:
        """The ids of a batch's studies."""
        return [str(name) for name in self.table.study_ids[batch.index.cpu().numpy()]]


def pinned(make: Callable[[int], ViewBatch]) -> tuple[Callable[[int], ViewBatch], Callable[[], None] | None]:
    """`make` with its batches page-locked where this process uses CUDA, and what each thread must do first.

    The current device belongs to a thread: without setting it, every rank would open a context on device 0.
    """
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return make, None
    device = torch.cuda.current_device()
    return (lambda step: pin(make(step))), (lambda: torch.cuda.set_device(device))


def make_loader(
    table: StudyTable,
    pairing: Pairing,
    config: LoaderConfig,
    *,
    seed: int,
    batch_size: int,
    rank: int = 0,
    world_size: int = 1,
    labelled: Bools | None = None,
    filling: BatchFilling | None = None,
) -> Batches:
    """The loader that `loader.backend` names: exact and memory-mapped, or streaming through webdataset."""
    build: type[Loader] = Loader
    if config.backend == "webdataset":
        # webdataset takes long to import and is seldom wanted
        from core.data.stream import StreamLoader

        build = StreamLoader
    return build(
        table,
        pairing,
        config,
        seed=seed,
        batch_size=batch_size,
        rank=rank,
        world_size=world_size,
        labelled=labelled,
        filling=filling,
    )
