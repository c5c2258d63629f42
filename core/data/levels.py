"""A film as the values that occur in it: what is done to a pixel for its value alone is done once a value.

A film has millions of pixels and some thousands of values. Tones are worked out in float64 for the values alone, and
looked up as the film is shrunk, which gives the same bits as for every pixel in a fraction of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.types import Bools, Film, Ints

# Entries of the largest table.
SPAN = 1 << 16
# Every so many rows and columns a pixel is looked at before all are.
STRIDE = 64

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Levels:
    """values: [n] float64, ascending: of integers all from the least to the greatest, else those that occur.

    places: [H, W] integers; where it is low + i the film has values[i].
    """

    values: Values
    places: NDArray[Any]
    low: int

    @classmethod
    def of(cls, pixels: NDArray[Any]) -> Levels:
        """The levels of pixels [H, W], integers or floats."""
        if np.issubdtype(pixels.dtype, np.integer):
            # Imported here: compiled code takes some tenths of a second, which a process without films need not spend.
            from core.data.compiled import extremes

            # Compiled code takes the machine's own order of bytes only.
            places = np.asarray(pixels, dtype=pixels.dtype.newbyteorder("="))
            low, high = extremes(places)
            if high - low < SPAN:
                return cls(np.arange(low, high + 1, dtype=np.float64), places, low)
        values, places = np.unique(pixels, return_inverse=True)
        return cls(values.astype(np.float64), places.reshape(pixels.shape), 0)

    @cached_property
    def counts(self) -> Ints:
        """[n] int64, how many pixels have each value. It takes a pass over the film, which most tones need not."""
        from core.data.compiled import histogram

        return histogram(self.places, self.low, len(self.values))

    @property
    def present(self) -> Bools:
        """[n], which of the values occur."""
        return self.counts > 0

    def differ(self, shown: Values, inside: Bools) -> bool:
        """Whether pixels differ in what their values are shown as [n], those aside that are not `inside` [n]."""
        few = self.places[::STRIDE, ::STRIDE].ravel().astype(np.int64) - self.low
        seen = np.zeros(len(self.values), dtype=bool)
        seen[few] = True
        return _differ(shown[seen & inside]) or _differ(shown[self.present & inside])

    def film(self, shades: Values) -> Film:
        """The film with shades[i] [n], in [0, 1], where it has values[i]."""
        return Film(self.places, shades.astype(np.float32), self.low)


def _differ(shown: Values) -> bool:
    return len(shown) > 0 and bool(shown.min() < shown.max())


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
