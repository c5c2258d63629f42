"""Does a film show bone dark and air white? A guess for people, from where films are bright; nothing is flipped by it.

Four differences that change sign with the picture's polarity are divided by their spread over chest films and
added: the middle is brighter than the sides, brighter than the corners (air), the spine is brighter than the lungs
beside it, and dark pixels are rarer than bright ones (negative skew).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from core.data.types import Film

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
    height, width = film.shape
    few = film.part(slice(None, None, max(1, height // SIDE)), slice(None, None, max(1, width // SIDE)))
    small = few.pixels.astype(np.float64)
    apart = small - small.mean()
    square = apart * apart
    variance = square.mean()
    if variance < LEAST_VARIANCE:
        return 0.0
    skew = (square * apart).mean() / variance**1.5
    means = dict(zip(PARTS, np.einsum("pn,n->p", _weights(small.shape), small.ravel()), strict=True))
    corners = [means[name] for name in CORNERS]
    differences = (
        means["middle"] - (means["left side"] + means["right side"]) / 2,
        means["middle"] - (min(corners) + max(corners)) / 2,
        means["spine"] - (means["left lung"] + means["right lung"]) / 2,
        -skew,
    )
    return float(sum(value / spread for value, spread in zip(differences, SPREADS, strict=True)))


@lru_cache(maxsize=16)
def _weights(shape: tuple[int, int]) -> NDArray[np.float64]:
    """[parts, H * W], with which the means of all parts are one product; no part is of nothing."""
    height, width = shape
    weights = np.zeros((len(PARTS), height, width))
    for weight, (rows, columns) in zip(weights, PARTS.values(), strict=True):
        top, left = int(rows[0] * height), int(columns[0] * width)
        bottom, right = max(top + 1, int(rows[1] * height)), max(left + 1, int(columns[1] * width))
        weight[top:bottom, left:right] = 1 / ((bottom - top) * (right - left))
    return weights.reshape(len(PARTS), -1)
