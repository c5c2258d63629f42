"""A film as the values that occur in it: what is done to a pixel for its value alone is done once a value.

A film has millions of pixels and some thousands of values. Tones are worked out in float64 for the values and then
painted, which gives the same bits as for every pixel in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.types import Floats, Ints

# Pixels that are looked up at once: they and their indices stay in the cache.
BLOCK = 1 << 15
# Entries of the largest table.
SPAN = 1 << 16

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Levels:
    """values: [n] float64, ascending: those that occur. counts: [n] int64, pixels that have each.

    places: [H, W] integers; what is painted on a pixel stands in a table at its place less `first`. entries: [n]
    int64, where in that table each value stands.
    """

    values: Values
    counts: Ints
    places: NDArray[Any]
    first: int
    entries: Ints

    @classmethod
    def of(cls, pixels: NDArray[Any]) -> Levels:
        """The levels of pixels [H, W], integers or floats."""
        if np.issubdtype(pixels.dtype, np.integer):
            low, high = int(pixels.min()), int(pixels.max())
            first = 0 if low >= 0 and high < SPAN else low
            if high - first < SPAN:
                counts = np.zeros(high - first + 1, dtype=np.int64)
                for block in _blocks(pixels, first):
                    counts += np.bincount(block, minlength=len(counts))
                entries = np.flatnonzero(counts)
                return cls((entries + first).astype(np.float64), counts[entries], pixels, first, entries)
        values, places, counts = np.unique(pixels, return_inverse=True, return_counts=True)
        entries = np.arange(len(values))
        return cls(values.astype(np.float64), counts, places.reshape(pixels.shape), 0, entries)

    def painted(self, shades: Values) -> Floats:
        """The film [H, W] float32 with shades[i] [n] where it has values[i]."""
        table = np.zeros(int(self.entries[-1]) + 1, dtype=np.float32)
        table[self.entries] = shades
        return painted(self.places, table, self.first)


def painted(places: NDArray[Any], table: Floats, first: int = 0) -> Floats:
    """The film [H, W] float32 with table[i - first] where `places` [H, W] says i."""
    film = np.empty(places.size, dtype=np.float32)
    for number, block in enumerate(_blocks(places, first)):
        # "clip" only spares numpy a copy: no place is outside the table
        np.take(table, block, out=film[number * BLOCK : number * BLOCK + len(block)], mode="clip")
    return film.reshape(places.shape)


def _blocks(places: NDArray[Any], first: int) -> Iterator[NDArray[Any]]:
    """The places in runs, less `first`."""
    flat = places.reshape(-1)
    for start in range(0, len(flat), BLOCK):
        block = flat[start : start + BLOCK]
        yield block.astype(np.int64) - first if first else block


def percentiles(values: Values, counts: Ints, which: tuple[float, ...]) -> list[float]:
    """np.percentile of values [n], of which each stands there as often as counts [n] says; the same bits."""
    order = np.argsort(values, kind="stable")
    ranked, ranks = values[order], np.cumsum(counts[order])
    found = []
    for percent in which:
        place = (int(ranks[-1]) - 1) * (percent / 100)
        below = int(place)
        low, high = (
            float(ranked[np.searchsorted(ranks, rank, "right")]) for rank in (below, min(below + 1, ranks[-1] - 1))
        )
        share, gap = place - below, high - low
        found.append(low + gap * share if share < 0.5 else high - gap * (1 - share))
    return found
