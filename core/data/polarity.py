"""Does a film show bone dark and air white? A guess for people, from where films are bright; nothing is flipped by it.

Four differences that change sign with the picture's polarity are divided by their spread over chest films and
added: the middle is brighter than the sides, brighter than the corners (air), the spine is brighter than the lungs
beside it, and dark pixels are rarer than bright ones (negative skew).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from core.data.types import Film, Ints, white

SPREADS = (0.13, 0.15, 0.13, 0.40)
# On 263 public chest films (frontal and lateral, as they are and inverted) the sum is above 0.5 and below -0.5.
INVERTED_BELOW = -0.5
SIDE = 64
LEAST_VARIANCE = 1e-6
# Between which fractions of the height and of the width each part of a film lies.
PARTS = {
    "middle": ((0, 1), (3 / 8, 5 / 8)),
    "left side": ((0, 1), (0, 1 / 8)),
    "right side": ((0, 1), (7 / 8, 1)),
    "spine": ((1 / 4, 5 / 8), (7 / 16, 9 / 16)),
    "left lung": ((1 / 4, 5 / 8), (3 / 16, 6 / 16)),
    "right lung": ((1 / 4, 5 / 8), (10 / 16, 13 / 16)),
    "top left": ((0, 1 / 8), (0, 1 / 8)),
    "top right": ((0, 1 / 8), (7 / 8, 1)),
    "bottom left": ((7 / 8, 1), (0, 1 / 8)),
    "bottom right": ((7 / 8, 1), (7 / 8, 1)),
}
CORNERS = ("top left", "top right", "bottom left", "bottom right")


def looks_inverted(film: Film) -> bool:
    """Whether a chest film looks like its own negative. A blank picture never does."""
    return polarity(film) < INVERTED_BELOW


def polarity(film: Film) -> float:
    """Positive where a film shows bone bright, negative where it shows it dark, about 0 where it is no chest."""
    # Imported here: compiled code takes some tenths of a second, which a process without films need not spend.
    from core.data.compiled import moments

    height, width = film.shape
    step = max(1, height // SIDE), max(1, width // SIDE)
    boxes = _boxes(-(-height // step[0]), -(-width // step[1]))
    variance, third, found = moments(film.stored, film.table, film.low, step, boxes)
    unit = 1 if film.table is not None else white(film.stored)
    if variance < LEAST_VARIANCE * unit**2:
        return 0.0
    means = dict(zip(PARTS, (found / unit).tolist(), strict=True))
    corners = [means[name] for name in CORNERS]
    differences = (
        means["middle"] - (means["left side"] + means["right side"]) / 2,
        means["middle"] - (min(corners) + max(corners)) / 2,
        means["spine"] - (means["left lung"] + means["right lung"]) / 2,
        -third / variance**1.5,
    )
    return float(sum(value / spread for value, spread in zip(differences, SPREADS, strict=True)))


@lru_cache(maxsize=16)
def _boxes(height: int, width: int) -> Ints:
    """[parts, 4], first and end row, first and end column of each part of a picture; no part is of nothing."""
    boxes = []
    for rows, columns in PARTS.values():
        top, left = int(rows[0] * height), int(columns[0] * width)
        bottom, right = max(top + 1, int(rows[1] * height)), max(left + 1, int(columns[1] * width))
        boxes.append((top, bottom, left, right))
    return np.array(boxes, dtype=np.int64)
