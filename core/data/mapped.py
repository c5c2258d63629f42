"""Pixels of image rows: gathered from memory-mapped shards, or chosen from another source."""

from __future__ import annotations

from dataclasses import dataclass
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

    def __post_init__(self) -> None:
        self._maps: dict[int, Bytes] = {}
        # Where in memory each image begins, 0 where its shard is not mapped yet.
        self._addresses = np.zeros(len(self.shard), dtype=np.int64)

    def read(self, rows: Ints) -> Bytes:
        """uint8 pixels [N, H, W] of image rows [N]. Raises DataError where one is not all in its shard."""
        # Imported here: compiled code takes some tenths of a second, which a process that reads nothing need not spend.
        from core.data.compiled import gather

        pixels = _apart(len(rows), self.size)
        if not gather(self._addresses[rows], pixels):
            for number in set(self.shard[rows[self._addresses[rows] == 0]].tolist()):
                self._map(number)
            gather(self._addresses[rows], pixels)
        return pixels

    def _map(self, number: int) -> None:
        # The first map stays where two threads are at it at once: a map that is dropped is no longer there to be read.
        mapped = self._maps.setdefault(number, np.memmap(self.shards[number], dtype=np.uint8, mode="r"))
        mine = self.shard == number
        offset = self.offset[mine]
        if ((offset < 0) | (offset > len(mapped) - self.size * self.size)).any():
            raise DataError(f"images lie outside their shard {self.shards[number]}: it was cut short", "build it anew")
        self._addresses[mine] = mapped.ctypes.data + offset

    def take(self, rows: Ints) -> ShardPixels:
        """The same shards, of image rows [N] only."""
        return ShardPixels(self.shards, self.shard[rows], self.offset[rows], self.size)

    def __reduce__(self) -> tuple[Any, ...]:
        # Addresses mean nothing to another process.
        return ShardPixels, (self.shards, self.shard, self.offset, self.size)


def _apart(count: int, size: int) -> Bytes:
    """An array [count, size, size] whose images begin 16 bytes beyond multiples of 32; in shards they begin at such.

    A processor takes what it reads for what it is about to write where the last 12 bits of the addresses agree, and
    waits. Several images are copied at once, so that some of them always would.
    """
    space = np.empty(count * size * size + 32, dtype=np.uint8)
    begin = (16 - space.ctypes.data) % 32
    return space[begin : begin + count * size * size].reshape(count, size, size)
