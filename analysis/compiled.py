"""The one loop of the statistics that has to be compiled; numba keeps the machine code beside this file."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from core.data.types import Ints

Counts = NDArray[np.uint8]
Sums = NDArray[Any]


@numba.njit(nogil=True, cache=True)
def count(places: Ints, ends: Ints, units: Counts, blocks: Counts, below: Sums, counted: Sums) -> None:
    """Fill `counted` [blocks, width] with twice the pairs ranked right; see `analysis.counting`.

    below: [width], for the running sum of the negatives. Up to four rows are added at a time, as the sums are then
    read and written back less often; the loops over a row are what the compiler turns into vector instructions.
    """
    width = blocks.shape[2]
    for block in range(blocks.shape[0]):
        table, pairs = blocks[block], counted[block]
        below[:], pairs[:] = 0, 0
        first = 0
        for k in range(len(ends)):
            unit = units[k]
            while first < ends[k]:
                left = ends[k] - first
                a = table[places[first]]
                if left >= 4:
                    b, c, d = table[places[first + 1]], table[places[first + 2]], table[places[first + 3]]
                    if unit > 0:
                        for r in range(width):
                            below[r] += unit * (a[r] + b[r] + c[r] + d[r])
                    else:
                        for r in range(width):
                            pairs[r] += (a[r] + b[r] + c[r] + d[r]) * below[r]
                    first += 4
                elif left >= 2:
                    b = table[places[first + 1]]
                    if unit > 0:
                        for r in range(width):
                            below[r] += unit * (a[r] + b[r])
                    else:
                        for r in range(width):
                            pairs[r] += (a[r] + b[r]) * below[r]
                    first += 2
                else:
                    if unit > 0:
                        for r in range(width):
                            below[r] += unit * a[r]
                    else:
                        for r in range(width):
                            pairs[r] += a[r] * below[r]
                    first += 1
