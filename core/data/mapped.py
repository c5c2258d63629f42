"""Pixels of image rows: gathered from memory-mapped shards, or chosen from another source."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core.data.types import Bytes, Ints


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

    def read(self, rows: Ints) -> Bytes:
        """uint8 pixels [N, H, W] of image rows [N]."""
        area = self.size * self.size
        pixels = np.empty((len(rows), area), dtype=np.uint8)
        shard, offset = self.shard[rows].tolist(), self.offset[rows].tolist()
        for number in set(shard) - self._maps.keys():
            # Not as np.memmap, whose slices are made by Python code.
            self._maps[number] = np.asarray(np.memmap(self.shards[number], dtype=np.uint8, mode="r"))
        maps = self._maps
        for picture, number, begin in zip(pixels, shard, offset, strict=True):
            # numpy copies without the GIL: while a page comes from the disk, other threads run.
            picture[:] = maps[number][begin : begin + area]
        return pixels.reshape(-1, self.size, self.size)

    def take(self, rows: Ints) -> ShardPixels:
        """The same shards, of image rows [N] only."""
        return ShardPixels(self.shards, self.shard[rows], self.offset[rows], self.size)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_maps": {}}
