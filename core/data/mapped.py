"""Pixels of image rows: gathered from memory-mapped shards, or chosen from another source."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core.data.types import Bytes, Ints
from core.errors import DataError


class PixelSource(Protocol):
    """Where a table's pixels come from."""

    def read(self, rows: Ints) -> Bytes:
        """uint8 pixels [N, H, W] of image rows [N]."""


@dataclass(frozen=True)
class ChosenPixels:
    """Image row r is row rows[r] of another source. rows: [I] int64."""

    source: PixelSource
    rows: Ints

    def read(self, rows: Ints) -> Bytes:
        """uint8 pixels [N, H, W] of image rows [N]."""
        return self.source.read(self.rows[rows])


@dataclass
class ShardPixels:
    """Pixels by memory map: image row r lies in file shards[shard[r]] from byte offset[r] on.

    shard: [I] int64. offset: [I] int64, bytes. size: side of an image, px.
    """

    shards: tuple[Path, ...]
    shard: Ints
    offset: Ints
    size: int
    _maps: dict[int, Bytes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        # Where in memory each shard begins, 0 where it is not mapped yet, and how long it is, bytes.
        self._begins, self._lengths = np.zeros((2, len(self.shards)), dtype=np.int64)

    def read(self, rows: Ints) -> Bytes:
        """uint8 pixels [N, H, W] of image rows [N]. Raises DataError where a shard is shorter than it was."""
        # Imported here: compiled code takes some tenths of a second, which a process that reads nothing need not spend.
        from core.data.compiled import gather

        pixels = np.empty((len(rows), self.size, self.size), dtype=np.uint8)
        gather(self._addresses(rows), pixels.ctypes.data, self.size * self.size)
        return pixels

    def _addresses(self, rows: Ints) -> Ints:
        """Where in memory the pixels of image rows [N] begin."""
        shard, offset = self.shard[rows], self.offset[rows]
        begins = self._begins[shard]
        if not begins.all():
            for number in set(shard[begins == 0].tolist()):
                self._map(number)
            begins = self._begins[shard]
        if ((offset < 0) | (offset > self._lengths[shard] - self.size * self.size)).any():
            raise DataError(f"image rows lie outside their shards in {self.shards[0].parent}", "build the data anew")
        return begins + offset

    def _map(self, number: int) -> None:
        # The first map stays where two threads are at it at once: a map that is dropped is no longer there to be read.
        mapped = self._maps.setdefault(number, np.memmap(self.shards[number], dtype=np.uint8, mode="r"))
        self._lengths[number] = len(mapped)
        # Last, as other threads may read meanwhile: where this is set, all is.
        self._begins[number] = mapped.ctypes.data

    def take(self, rows: Ints) -> ShardPixels:
        """The same shards, of image rows [N] only."""
        return ShardPixels(self.shards, self.shard[rows], self.offset[rows], self.size)

    def __reduce__(self) -> tuple[Any, ...]:
        # Addresses mean nothing to another process.
        return ShardPixels, (self.shards, self.shard, self.offset, self.size)
