"""Pixels of image rows: gathered from memory-mapped shards, or chosen from another source."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

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
    _windows: dict[int, Bytes] = field(default_factory=dict, repr=False)

    def read(self, rows: Ints) -> Bytes:
        """uint8 pixels [N, H, W] of image rows [N], gathered shard by shard."""
        area = self.size * self.size
        pixels = np.empty((len(rows), area), dtype=np.uint8)
        shard, offset = self.shard[rows], self.offset[rows]
        for number in np.unique(shard):
            chosen = np.flatnonzero(shard == number)
            pixels[chosen] = self._window(int(number))[offset[chosen]]
        return pixels.reshape(-1, self.size, self.size)

    def take(self, rows: Ints) -> ShardPixels:
        """The same shards, of image rows [N] only."""
        return ShardPixels(self.shards, self.shard[rows], self.offset[rows], self.size)

    def _window(self, number: int) -> Bytes:
        """[bytes - area + 1, area] view of a shard: row b is the `area` bytes from byte b on. Nothing is copied."""
        if number not in self._windows:
            mapped = np.memmap(self.shards[number], dtype=np.uint8, mode="r")
            self._windows[number] = sliding_window_view(mapped, self.size * self.size)
        return self._windows[number]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_windows": {}}
