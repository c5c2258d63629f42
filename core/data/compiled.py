"""The loops over pixels that have to be compiled; numba keeps the machine code beside this file.

Sums run in one fixed order, without reassociation: the same film gives the same bytes on every processor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from core.data.levels import Values
from core.data.types import Floats, Ints
from core.native import native

if TYPE_CHECKING:
    from core.data.resize import Line

# Images that are copied side by side, and bytes of each at a time. Where an image begins, the processor does not know
# yet what to read ahead; with several under way it always has something to read.
ABREAST, PIECE = 7, 256
# Sums side by side that a mean across is made of.
LANES = 8

Counts = NDArray[np.int32]
# Of n means of things that stand in a line: first [n] and count [n] say which of the things each is made of, both
# first and first + count ascending; weights [n, k] float32, what each thing counts, k a multiple of LANES.
Spans = tuple[Counts, Counts, Floats]


@native
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


@native
def extremes(pixels: NDArray[Any]) -> tuple[int, int]:
    """The least and the greatest of integers [H, W] in one pass. Raises ValueError where there are none."""
    if pixels.size == 0:
        raise ValueError("no pixels")
    low, high = pixels[0, 0], pixels[0, 0]
    for y in range(len(pixels)):
        row = pixels[y]
        for x in range(len(row)):
            low, high = min(low, row[x]), max(high, row[x])
    return low, high


@native
def shrink(stored: NDArray[Any], table: Floats | None, low: int, line: Line, rows: Spans, columns: Spans) -> Floats:
    """Weighted means of a film [H, W]: [h, w] float32.

    stored: what stands for each pixel, itself the grey where there is no table, else its place in it plus `low`. line:
    the table where it is one: the mean of places, cut off at its ends, is worked out many pixels at a time, which
    looking up is not. rows, columns: what each of the result's is made of. Each row of the film is added to all that it
    is part of; what is finished is shrunk across while it is in the nearest cache.
    """
    first, count, weights = rows
    width = stored.shape[1]
    out = np.empty((len(first), len(columns[0])), np.float32)
    # As many rows are being added to at a time as the film's rows are part of. Beyond the end of its span a weight is
    # 0, and so is what lies beyond the end of a row.
    sums = np.zeros((open_at_once(first, count), width + columns[2].shape[1]), np.float32)
    nowhere = np.zeros(width, np.float32)
    begin = 0
    for y in range(first[0], first[-1] + count[-1]):
        i = begin
        # Two at a time, as a row of a film that is shrunk is part of two: its shades need not be kept.
        while i < len(first) and first[i] <= y:
            two = i + 1 < len(first) and first[i + 1] <= y
            other = sums[(i + 1) % len(sums)] if two else nowhere
            share = weights[i + 1, y - first[i + 1]] if two else np.float32(0)
            _add_row(stored[y], table, low, line, (weights[i, y - first[i]], share), (sums[i % len(sums)], other))
            i += 2
        while begin < len(first) and first[begin] + count[begin] <= y + 1:
            _across(sums[begin % len(sums)], columns, out[begin])
            sums[begin % len(sums)] = 0
            begin += 1
    return out if line.slope == 0 else out * line.slope + line.grey


@native
def _add_row(
    row: NDArray[Any],
    table: Floats | None,
    low: int,
    line: Line,
    weights: tuple[np.float32, np.float32],
    targets: tuple[Floats, Floats],
) -> None:
    """Add a row [W] times a weight to each of two targets [at least W]: shades, or where there is a line its places."""
    first, second = targets
    if table is None:
        for x in range(len(row)):
            shade = np.float32(row[x])
            first[x] += weights[0] * shade
            second[x] += weights[1] * shade
    elif line.slope != 0:
        least, greatest, origin = line.least, line.greatest, low + line.place
        for x in range(len(row)):
            # Places have 16 bits: of words of 64 fewer are worked out at a time.
            place = min(max(np.float32(np.int32(row[x] - origin)), least), greatest)
            first[x] += weights[0] * place
            second[x] += weights[1] * place
    else:
        for x in range(len(row)):
            shade = table[np.uint64(row[x] - low)]
            first[x] += weights[0] * shade
            second[x] += weights[1] * shade


@native
def moments(
    stored: NDArray[Any], table: NDArray[Any] | None, low: int, step: tuple[int, int], boxes: Ints
) -> tuple[float, float, Values]:
    """Variance, third central moment, and means [B] in boxes, of every so many pixels down and across of a film [H, W].

    stored, table, low: as for `shrink`. boxes: [B, 4], first and end row, first and end column of those pixels, of
    which each has one at least.
    """
    height, width = -(-stored.shape[0] // step[0]), -(-stored.shape[1] // step[1])
    shades = np.empty((height, width), np.float64)
    for y in range(height):
        for x in range(width):
            value = stored[y * step[0], x * step[1]]
            shades[y, x] = value if table is None else table[np.uint64(value - low)]
    mean, second, third = shades.mean(), 0.0, 0.0
    for shade in shades.flat:
        apart = shade - mean
        second += apart * apart
        third += apart * apart * apart
    means = np.empty(len(boxes), np.float64)
    for i in range(len(boxes)):
        top, bottom, left, right = boxes[i]
        means[i] = shades[top:bottom, left:right].mean()
    return second / shades.size, third / shades.size, means


@native
def open_at_once(first: Counts, count: Counts) -> int:
    """The most spans that share a place."""
    most, begin = 1, 0
    for i in range(len(first)):
        while first[begin] + count[begin] <= first[i]:
            begin += 1
        most = max(most, i - begin + 1)
    return most


@native
def _across(line: Floats, columns: Spans, out: Floats) -> None:
    """Weighted means of a line [W + k], of which the last k are 0: out [w]."""
    first, _, weights = columns
    blocks, step = weights.shape[1] // LANES, weights.shape[1] * weights.itemsize
    for j in range(len(out)):
        begin = line.ctypes.data + np.uint64(first[j]) * line.itemsize
        out[j] = _inner(begin, weights.ctypes.data + j * step, blocks)  # type: ignore[call-arg]


@native
def gather(sources: Ints, target: NDArray[np.uint8]) -> bool:
    """Copy images from addresses `sources` [N] to `target` [N, H, W]. False, and none copied, where one of them is 0.

    Without the GIL: while a page comes from the disk, other threads run.
    """
    for source in sources:
        if source == 0:
            return False
    size, begin = target.shape[1] * target.shape[2], target.ctypes.data
    whole = size // PIECE * PIECE
    groups = -(-len(sources) // ABREAST)
    for group in range(groups):
        # All of about the same size: a last one of a single image would be slow.
        first, last = group * len(sources) // groups, (group + 1) * len(sources) // groups
        for place in range(0, whole, PIECE):
            for k in range(first, last):
                _copy(begin + k * size + place, sources[k] + place, PIECE)  # type: ignore[call-arg]
        for k in range(first, last):
            _copy(begin + k * size + whole, sources[k] + whole, size - whole)  # type: ignore[call-arg]
    return True


@native
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


@native
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
def _inner(_: Any, left: Any, right: Any, blocks: Any) -> Any:  # noqa: ARG001
    """Inner product of two vectors of `blocks` times LANES float32 at two addresses.

    Every LANES-th product goes to one sum; then each sum of the first half and its like of the second are added, until
    one is left. The compiler may not change the order of a loop's sums by itself.
    """

    def build(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        lanes = ir.VectorType(ir.FloatType(), LANES)
        vectors = [builder.inttoptr(address, lanes.as_pointer()) for address in arguments[:2]]
        sums = cgutils.alloca_once_value(builder, ir.Constant(lanes, [0.0] * LANES))
        with cgutils.for_range(builder, arguments[2]) as loop:
            a, b = (builder.load(builder.gep(vector, [loop.index]), align=4) for vector in vectors)
            builder.store(builder.fadd(builder.load(sums), builder.fmul(a, b)), sums)
        total = builder.load(sums)
        for count in (LANES >> step for step in range(1, LANES.bit_length())):
            word = ir.VectorType(ir.IntType(32), count)
            places = [ir.Constant(word, list(range(begin, begin + count))) for begin in (0, count)]
            total = builder.fadd(*(builder.shuffle_vector(total, total, place) for place in places))
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float32(types.uintp, types.uintp, types.intp), build


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
