"""A film at another size: each pixel a weighted mean of all that it covers, as Pillow's antialiased bilinear filter."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from core.data.types import Film, Shades, white

if TYPE_CHECKING:
    from core.data.compiled import Spans


def resized(film: Film, shape: tuple[int, int], box: tuple[float, float, float, float]) -> Shades:
    """Grey [h, w] of the part of a film inside box = (top, left, bottom, right), px, in the type of its grey.

    What a pixel becomes is looked up as it is added to the mean: of a film of millions of pixels every pass counts.
    """
    # Imported here: compiled code takes some tenths of a second, which a process without films need not spend.
    from core.data.compiled import shrink

    top, left, bottom, right = box
    rows, columns = spans(shape[0], film.shape[0], top, bottom), spans(shape[1], film.shape[1], left, right)
    shown = shrink(np.ascontiguousarray(film.stored), film.table, film.low, rows, columns)
    if film.table is None and film.stored.dtype == np.uint8:
        shown = np.rint(shown).astype(np.uint8)
    # Weights add up to 1 but for rounding.
    return np.clip(shown, 0, white(shown))


@lru_cache(maxsize=64)
def spans(count: int, size: int, begin: float, end: float) -> Spans:
    """What each of `count` pixels between begin and end of a line of `size` is made of, see core/data/compiled.py.

    A triangle as wide as two of the result's pixels, or as two of the source's where it is enlarged: what Pillow calls
    bilinear. It never overshoots. A mean's weights add up to 1.
    """
    scale = (end - begin) / count
    reach = max(scale, 1.0)
    centre = begin + (np.arange(count) + 0.5) * scale
    first, last = (np.clip((centre + side * reach + 0.5).astype(np.int32), 0, size) for side in (-1, 1))
    place = np.arange((last - first).max())[:, None]
    apart = np.abs(first + place - centre + 0.5) / reach
    weights = np.maximum(0, 1 - apart) * (place < last - first)
    return first, last - first, (weights / weights.sum(axis=0)).astype(np.float32)
