"""The loops over pixels that have to be compiled; numba keeps the machine code beside this file.

Sums run in one fixed order, without reassociation: the same film gives the same bytes on every processor.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from core.data.types import Floats, Ints

# Images that are copied side by side, and bytes of each at a time. Where an image begins, the processor does not know
# yet what to read ahead; with several under way it always has something to read.
ABREAST, PIECE = 6, 256

Counts = NDArray[np.int32]
# Of n means of things that stand in a line: first [n] and count [n] say which of the things each is made of, both
# first and first + count ascending; weights [n, k] float32, k the greatest count, what each thing counts.
Spans = tuple[Counts, Counts, Floats]
Line = tuple[np.float32, np.float32]


@numba.njit(nogil=True, cache=True)
def histogram(pixels: NDArray[Any], low: int, size: int) -> Ints:
    """How often each of low, ..., low + size - 1 stands in integers [H, W], of which none is outside: [size] int64.

    Four counts in turn: neighbours are often equal, and to add to one count twice in a row is to wait for it.
    """
    counts = np.zeros((4, size), np.int64)
    height, width = pixels.shape
    whole = width // 4 * 4
    for y in range(height):
        row = pixels[y]
        for x in range(0, whole, 4):
            for k in range(4):
                counts[k, np.uint64(row[x + k] - low)] += 1
        for x in range(whole, width):
            counts[0, np.uint64(row[x] - low)] += 1
    return counts.sum(axis=0)


@numba.njit(nogil=True, cache=True)
def shrink(stored: NDArray[Any], table: Floats | None, low: int, line: Line, rows: Spans, columns: Spans) -> Floats:
    """Weighted means of a film [H, W]: [h, w] float32.

    stored: what stands for each pixel, itself the grey where there is no table, else its place in it plus `low`. line:
    (slope, offset) where table[i] is slope * i + offset, between 0 and 1: worked out many pixels at a time, which
    looking up is not. A slope of 0: it is no such table. rows, columns: what each of the result's is made of. Each row
    of the film is looked up once and added to all that it is part of; what is finished is shrunk across while it is in
    the nearest cache.
    """
    slope, offset = line
    first, count, weights = rows
    # Beyond the end of its span a weight is 0, and so is what lies beyond the end of a row.
    beyond = columns[2].shape[1]
    width = stored.shape[1]
    out = np.empty((len(first), len(columns[0])), np.float32)
    shades = np.empty(width, np.float32)
    # As many rows are being added to at a time as the film's rows are part of.
    sums = np.zeros((open_at_once(first, count), width + beyond), np.float32)
    begin = 0
    for y in range(first[0], first[-1] + count[-1]):
        source = stored[y]
        if table is None:
            for x in range(width):
                shades[x] = source[x]
        elif slope != 0:
            for x in range(width):
                # Places have 16 bits: of words of 64 fewer are worked out at a time.
                shade = np.float32(np.int32(source[x] - low)) * slope + offset
                shades[x] = min(max(shade, np.float32(0)), np.float32(1))
        else:
            for x in range(width):
                shades[x] = table[np.uint64(source[x] - low)]
        i = begin
        while i < len(first) and first[i] <= y:
            weight, target = weights[i, y - first[i]], sums[i % len(sums)]
            for x in range(width):
                target[x] += weight * shades[x]
            i += 1
        while begin < len(first) and first[begin] + count[begin] <= y + 1:
            _across(sums[begin % len(sums)], columns, out[begin])
            sums[begin % len(sums)] = 0
            begin += 1
    return out


@numba.njit(nogil=True, cache=True)
def open_at_once(first: Counts, count: Counts) -> int:
    """The most spans that share a place."""
    most, begin = 1, 0
    for i in range(len(first)):
        while first[begin] + count[begin] <= first[i]:
            begin += 1
        most = max(most, i - begin + 1)
    return most


@numba.njit(nogil=True, cache=True)
def _across(line: Floats, columns: Spans, out: Floats) -> None:
    """Weighted means of a line [W + k], of which the last k are 0: out [w]."""
    first, _, weights = columns
    for j in range(len(out)):
        begin, mean = np.uint64(first[j]), np.float32(0)
        for k in range(weights.shape[1]):
            mean += weights[j, k] * line[begin + np.uint64(k)]
        out[j] = mean


@numba.njit(nogil=True, cache=True)
def gather(sources: Ints, target: int, size: int) -> None:
    """Copy `size` bytes from each of the addresses `sources` [N], one behind the other, to the address `target`.

    Without the GIL: while a page comes from the disk, other threads run.
    """
    whole = size // PIECE * PIECE
    groups = -(-len(sources) // ABREAST)
    for group in range(groups):
        # All of about the same size: a last one of a single image would be slow.
        first, last = group * len(sources) // groups, (group + 1) * len(sources) // groups
        for begin in range(0, whole, PIECE):
            for k in range(first, last):
                _copy(target + k * size + begin, sources[k] + begin, PIECE)  # type: ignore[call-arg]
        for k in range(first, last):
            _copy(target + k * size + whole, sources[k] + whole, size - whole)  # type: ignore[call-arg]


@numba.njit(nogil=True, cache=True)
def alike(
    rows: Ints,
    bits: NDArray[np.uint64],
    detail: NDArray[np.int8],
    squares: Ints,
    group: Ints,
    largest: int,
    most: int,
    least: float,
) -> list[tuple[int, int, float]]:
    """(row, other, correlation) of pairs of different groups that `core/data/near.py` takes for the same film.

    rows: which of the pictures are held against all others, none of the group `largest`; of two that are both in
    `rows`, in ascending order, the first is. bits: [N], may differ in `most`. detail: [N, D], correlates by `least`;
    squares: [N], each one's inner product with itself.
    """
    found = [(0, 0, 0.0) for _ in range(0)]
    for row in rows:
        for other in range(len(bits)):
            if _ones(bits[row] ^ bits[other]) > most or group[row] == group[other]:  # type: ignore[call-arg]
                continue
            if other < row and group[other] != largest:
                continue
            norms = np.sqrt(np.float64(squares[row]) * np.float64(squares[other]))
            product = _product(detail[row], detail[other])
            if norms > 0 and product / norms >= least:
                found.append((row, other, product / norms))
    return found


@numba.njit(nogil=True, cache=True)
def _product(a: NDArray[np.int8], b: NDArray[np.int8]) -> int:
    """Inner product of two vectors [D], D at most 2^17."""
    total = np.int32(0)
    for k in range(len(a)):
        total += np.int32(a[k]) * np.int32(b[k])
    return int(total)


@intrinsic  # type: ignore[misc]
def _ones(_: Any, word: Any) -> Any:  # noqa: ARG001
    """How many bits of a word are set."""

    def build(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), build


@intrinsic  # type: ignore[misc]
def _copy(_: Any, target: Any, source: Any, count: Any) -> Any:  # noqa: ARG001
    """memcpy between two addresses; of a constant count it becomes a few vector instructions."""

    def build(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        byte, word, bit = ir.IntType(8).as_pointer(), ir.IntType(64), ir.IntType(1)
        memcpy = builder.module.declare_intrinsic("llvm.memcpy", [byte, byte, word])
        to, of = (builder.inttoptr(address, byte) for address in arguments[:2])
        builder.call(memcpy, [to, of, arguments[2], bit(0)])
        return context.get_dummy_value()

    return types.void(types.uintp, types.uintp, types.uintp), build
