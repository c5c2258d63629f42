"""Does a film show bone dark and air white? A guess for people, from where films are bright; nothing is flipped by it.

Four differences that change sign with the picture's polarity are divided by their spread over chest films and
added: the middle is brighter than the sides, brighter than the corners (air), the spine is brighter than the lungs
beside it, and dark pixels are rarer than bright ones (negative skew).
"""

from __future__ import annotations

import numpy as np

from core.data.types import Film

SPREADS = (0.13, 0.15, 0.13, 0.40)
# On 263 public chest films (frontal and lateral, as they are and inverted) the sum is above 0.5 and below -0.5.
INVERTED_BELOW = -0.5
SIDE = 64


def looks_inverted(film: Film) -> bool:
    """Whether a chest film looks like its own negative. A blank picture never does."""
    return polarity(film) < INVERTED_BELOW


def polarity(film: Film) -> float:
    """Positive where a film shows bone bright, negative where it shows it dark, about 0 where it is no chest."""
    height, width = film.shape
    few = film.part(slice(None, None, max(1, height // SIDE)), slice(None, None, max(1, width // SIDE)))
    small = few.pixels.astype(np.float64)
    if small.std() < 1e-3:
        return 0.0
    differences = (_middle_and_sides(small), _middle_and_corners(small), _spine_and_lungs(small), -_skew(small))
    return float(sum(value / spread for value, spread in zip(differences, SPREADS, strict=True)))


def _part(film: np.ndarray, rows: tuple[float, float], columns: tuple[float, float]) -> float:
    """Mean of the part between two fractions of the height and two of the width; never of nothing."""
    height, width = film.shape
    top, left = int(rows[0] * height), int(columns[0] * width)
    bottom, right = max(top + 1, int(rows[1] * height)), max(left + 1, int(columns[1] * width))
    return float(film[top:bottom, left:right].mean())


def _middle_and_sides(film: np.ndarray) -> float:
    sides = (_part(film, (0, 1), (0, 1 / 8)), _part(film, (0, 1), (7 / 8, 1)))
    return _part(film, (0, 1), (3 / 8, 5 / 8)) - float(np.mean(sides))


def _middle_and_corners(film: np.ndarray) -> float:
    ends = ((0, 1 / 8), (7 / 8, 1))
    corners = [_part(film, rows, columns) for rows in ends for columns in ends]
    return _part(film, (0, 1), (3 / 8, 5 / 8)) - (min(corners) + max(corners)) / 2


def _spine_and_lungs(film: np.ndarray) -> float:
    chest = (1 / 4, 5 / 8)
    lungs = (_part(film, chest, (3 / 16, 6 / 16)), _part(film, chest, (10 / 16, 13 / 16)))
    return _part(film, chest, (7 / 16, 9 / 16)) - float(np.mean(lungs))


def _skew(film: np.ndarray) -> float:
    apart = film - film.mean()
    square = apart * apart
    return float((square * apart).mean() / square.mean() ** 1.5)
