"""A film at another size: each pixel a weighted mean of all that it covers, as Pillow's antialiased bilinear filter."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from core.data.types import Film, Floats, Shades

if TYPE_CHECKING:
    from core.data.compiled import Spans

# Of white: a four thousandth of a byte's step.
NEAR = 1e-6


class Line(NamedTuple):
    """A table that is straight between two ends: table[place + i] is grey + slope * i, for i within least and greatest.

    What lies beyond an end is as dark or as bright as that. A slope of 0: no such table.
    """

    place: int
    grey: np.float32
    slope: np.float32
    least: np.float32
    greatest: np.float32


NO_LINE = Line(0, *[np.float32(0)] * 4)


def resized(film: Film, shape: tuple[int, int], box: tuple[float, float, float, float]) -> Shades:
    """Grey [h, w] of the part of a film inside box = (top, left, bottom, right), px, in the type of its grey.

    What a pixel becomes is looked up as it is added to the mean: of a film of millions of pixels every pass counts.
    """
    # Imported here: compiled code takes some tenths of a second, which a process without films need not spend.
    from core.data.compiled import shrink

    top, left, bottom, right = box
    rows, columns = spans(shape[0], film.shape[0], top, bottom), spans(shape[1], film.shape[1], left, right)
    line = NO_LINE if film.table is None else straight(film.table)
    shown = shrink(np.ascontiguousarray(film.stored), film.table, film.low, line, rows, columns)
    if film.table is None and film.stored.dtype == np.uint8:
        return np.rint(shown).astype(np.uint8)
    # Weights add up to 1 but for rounding.
    return np.clip(shown, 0, 1)


def straight(table: Floats) -> Line:
    """A table [n] as a line between 0 and 1, as windows are to within `NEAR`; `NO_LINE` where it is none."""
    between = np.flatnonzero((table > 0) & (table < 1))
    if len(between) < 2:
        return NO_LINE
    first, last = (int(place) for place in between[[0, -1]])
    grey, slope = table[first], (table[last] - table[first]) / np.float32(last - first)
    if slope == 0:
        return NO_LINE
    line = Line(first, grey, slope, *sorted([-grey / slope, (1 - grey) / slope]))
    places = np.arange(-first, len(table) - first, dtype=np.float32)
    drawn = np.clip(places, line.least, line.greatest) * slope + grey
    return line if np.abs(drawn - table).max() < NEAR else NO_LINE


@lru_cache(maxsize=64)
def spans(count: int, size: int, begin: float, end: float) -> Spans:
    """What each of `count` pixels between begin and end of a line of `size` is made of, see core/data/compiled.py.

    A triangle as wide as two of the result's pixels, or as two of the source's where it is enlarged: what Pillow calls
    bilinear. It never overshoots. A mean's weights add up to 1.
    """
    from core.data.compiled import LANES

    scale = (end - begin) / count
    reach = max(scale, 1.0)
    centre = begin + (np.arange(count) + 0.5) * scale
    first, last = (np.clip((centre + side * reach + 0.5).astype(np.int32), 0, size) for side in (-1, 1))
    covers = last - first
    place = np.arange(-(-covers.max() // LANES) * LANES)
    apart = np.abs(first[:, None] + place - centre[:, None] + 0.5) / reach
    weights = np.maximum(0, 1 - apart) * (place < covers[:, None])
    return first, covers, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
