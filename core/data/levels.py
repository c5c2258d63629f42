"""A film as the values that occur in it: what is done to a pixel for its value alone is done once a value.

A film has millions of pixels and some thousands of values. Tones are worked out in float64 for the values alone, and
looked up as the film is shrunk, which gives the same bits as for every pixel in a fraction of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.types import Film, Ints

# Entries of the largest table.
SPAN = 1 << 16

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Levels:
    """values: [n] float64, ascending: those that occur. counts: [n] int64, pixels that have each.

    places: [H, W] integers; what a pixel becomes stands in a table at its place less `first`. entries: [n]
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
        # Imported here: compiled code takes some tenths of a second, which a process without films need not spend.
        from core.data.compiled import histogram

        if np.issubdtype(pixels.dtype, np.integer):
            low, high = int(pixels.min()), int(pixels.max())
            first = 0 if low >= 0 and high < SPAN else low
            if high - first < SPAN:
                # Compiled code takes the machine's own order of bytes only.
                places = np.asarray(pixels, dtype=pixels.dtype.newbyteorder("="))
                counts = histogram(places, first, high - first + 1)
                entries = np.flatnonzero(counts)
                return cls((entries + first).astype(np.float64), counts[entries], places, first, entries)
        values, places, counts = np.unique(pixels, return_inverse=True, return_counts=True)
        entries = np.arange(len(values))
        return cls(values.astype(np.float64), counts, places.reshape(pixels.shape), 0, entries)

    def film(self, shades: Values) -> Film:
        """The film with shades[i] [n], in [0, 1], where it has values[i]."""
        table = np.zeros(int(self.entries[-1]) + 1, dtype=np.float32)
        table[self.entries] = shades
        return Film(self.places, table, self.first)


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
