"""Black borders of a film: what a collimator or a scanner left around the picture."""

from __future__ import annotations

import numpy as np

from core.data.types import Film

BLACK = 0.04
# Markers and burnt-in letters may stand in a border.
SHARE = 0.98


def without_borders(film: Film) -> Film:
    """The part of a film inside its black borders: rows and columns of which 98 % are below 0.04 of white.

    The film itself where that leaves less than a quarter of its height or width: then it is dark, not framed.
    """
    top, bottom, left, right = box(film)
    height, width = film.shape
    if bottom - top < height / 4 or right - left < width / 4:
        return film
    return film.part(slice(top, bottom), slice(left, right))


def box(film: Film) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of what is inside the black borders; empty (0, 0, 0, 0) where all is black."""
    black = film.below(BLACK)
    top, bottom, left, right = 0, film.shape[0], 0, film.shape[1]
    # A wide black column hides how black the rows are beyond it: look again at what is left until nothing changes.
    while True:
        inner = black[top:bottom, left:right]
        rows, columns = (np.flatnonzero(inner.mean(axis=axis) < SHARE) for axis in (1, 0))
        if not len(rows) or not len(columns):
            return 0, 0, 0, 0
        found = (top + int(rows[0]), top + int(rows[-1]) + 1, left + int(columns[0]), left + int(columns[-1]) + 1)
        if found == (top, bottom, left, right):
            return found
        top, bottom, left, right = found
