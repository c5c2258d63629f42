"""Points to be clustered: rows of a matrix in memory or on disk, read a part at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.types import Floats, Ints
from core.errors import DataError
from core.progress import Progress

# Rows in memory at a time: 50 MiB as float32 at a width of 768.
CHUNK = 16_384
FLOATING = ("float16", "float32", "float64")


@dataclass(frozen=True)
class Points:
    """N points of width D, as float32 around `centre`.

    array: [N, D], a matrix in memory or a memory map. centre: [D] float32, subtracted from what is read: distances
    stay the same, and the float32 products by which they are computed lose fewer digits.
    """

    array: NDArray[Any]
    centre: Floats

    def __len__(self) -> int:
        return len(self.array)

    @property
    def width(self) -> int:
        """D."""
        return int(self.array.shape[1])

    def chunks(self) -> Iterator[tuple[int, Floats]]:
        """(first row, [<= CHUNK, D] float32) of all rows in order."""
        for start in range(0, len(self.array), CHUNK):
            yield start, self._read(slice(start, start + CHUNK))

    def take(self, rows: Ints) -> Points:
        """The points of `rows`, in memory; they have no centre any more."""
        taken = np.empty((len(rows), self.width), np.float32)
        for start in range(0, len(rows), CHUNK):
            part = slice(start, start + CHUNK)
            taken[part] = self._read(rows[part])
        return in_memory(taken)

    def whole(self) -> Floats:
        """All points, [N, D] float32."""
        return self.take(np.arange(len(self))).array

    def _read(self, rows: Any) -> Floats:
        read: Floats = np.asarray(self.array[rows], dtype=np.float32) - self.centre
        return read


def in_memory(array: Floats) -> Points:
    """Points of a float32 matrix whose coordinates are taken as they are."""
    return Points(array, np.zeros(array.shape[1], np.float32))


def checked(array: NDArray[Any], where: str) -> Points:
    """Points of a matrix of embeddings, read once from end to end. `where` names it in errors.

    Raises DataError unless it is a matrix of floating-point numbers, all finite, and not the same in all rows.
    """
    if array.ndim != 2 or 0 in array.shape:
        raise DataError(f"{where} has shape {array.shape}, not [points, width]", "give a matrix, a row a point")
    if array.dtype.name not in FLOATING:
        raise DataError(f"{where} holds {array.dtype}", f"embeddings are one of {', '.join(FLOATING)}")
    total, same = np.zeros(array.shape[1]), True
    plain = Points(array, np.zeros(array.shape[1], np.float32))
    with Progress("reading embeddings", len(array), "points") as progress:
        for start, part in plain.chunks():
            finite = np.isfinite(part).all(axis=1)
            if not finite.all():
                row = start + int(np.argmin(finite))
                raise DataError(f"{where}: row {row} is not finite", "leave such rows out, or mend what embedded them")
            total += part.sum(axis=0, dtype=np.float64)
            same = same and bool((part == np.asarray(array[0], np.float32)).all())
            progress.advance(len(part))
    if same:
        what = f"{where}: all {len(array)} embeddings are the same"
        raise DataError(
            what, "the encoder that made them has collapsed, or they are another column's: nothing to cluster"
        )
    return Points(array, (total / len(array)).astype(np.float32))
