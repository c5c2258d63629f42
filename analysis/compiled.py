"""The loops of the statistics that have to be compiled; numba keeps the machine code beside this file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.types import Bools, Ints
from core.native import native

Counts = NDArray[np.uint8]
Sums = NDArray[Any]
Bits = NDArray[np.unsignedinteger[Any]]
Places = NDArray[np.int32]
DIGIT = 11


@native
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


@native
def ordered(bits: Bits) -> Places:
    """The places of floats [n] from the lowest to the highest, equal ones as they stand, -0 before 0. bits: theirs, as
    unsigned integers. By radix: eleven bits at a time, from the lowest on.
    """
    n, width = len(bits), bits.itemsize * 8
    digits, values = -(-width // DIGIT), 1 << DIGIT
    top, mask, one = np.uint64(width - 1), np.uint64(values - 1), np.uint64(1)
    counts = np.zeros((digits, values), np.int32)
    keys, next_keys = np.empty_like(bits), np.empty_like(bits)
    for i in range(n):
        # The bits of floats are in the floats' order, of negative ones in reverse.
        key = np.uint64(bits[i])
        key = (one << top << one) - one - key if key >> top else key | (one << top)
        keys[i] = key
        for digit in range(digits):
            counts[digit, (key >> np.uint64(digit * DIGIT)) & mask] += 1
    order, next_order = np.arange(n).astype(np.int32), np.empty(n, np.int32)
    for digit in range(digits):
        begins, begin = counts[digit], 0
        for value in range(values):
            begins[value], begin = begin, begin + begins[value]
        for i in range(n):
            key = np.uint64(keys[i])
            bucket = (key >> np.uint64(digit * DIGIT)) & mask
            place = begins[bucket]
            begins[bucket] = place + 1
            next_order[place] = order[i]
            next_keys[place] = key
        order, next_order, keys, next_keys = next_order, order, next_keys, keys
    return order


@native
def lay_out(
    order: Places, scores: Sums, is_positive: Bools, places: Ints, laid: Ints, ends: Ints, units: Counts
) -> tuple[int, int]:
    """Fill `laid`, `ends` and `units` [2 n each] with a walk; returns how many steps and runs it has.

    order: [n] the studies from the lowest of `scores` [n] to the highest. See `analysis.counting.Walk`.
    """
    steps, runs, first = 0, 0, 0
    while first < len(order):
        last, study = first + 1, order[first]
        tied, score = int(is_positive[study]), scores[study]
        while last < len(order) and scores[order[last]] == score:
            tied += is_positive[order[last]]
            last += 1
        if last == first + 1:
            # Most scores are nobody else's.
            unit = 0 if tied else 2
            if runs == 0 or units[runs - 1] != unit:
                units[runs] = unit
                runs += 1
            laid[steps] = places[study]
            steps += 1
            ends[runs - 1] = steps
            first = last
            continue
        mixed = 0 < tied < last - first
        # Negatives, positives, and where there are both the negatives' other halves.
        for part in range(3 if mixed else 2):
            unit = 0 if part == 1 else 1 if mixed else 2
            before = steps
            for k in range(first, last):
                if is_positive[order[k]] == (part == 1):
                    laid[steps] = places[order[k]]
                    steps += 1
            if steps > before:
                if runs == 0 or units[runs - 1] != unit:
                    units[runs] = unit
                    runs += 1
                ends[runs - 1] = steps
        first = last
    return steps, runs


@native
def add_placements(order: Places, scores: Sums, is_positive: Bools, placed: Sums) -> None:
    """Add to `placed` [n] each study's placement: of a positive the share of negatives that score lower, of a negative
    the share of positives that score higher, an equal one counting half.

    order: [n] the studies from the lowest of `scores` [n] to the highest.
    """
    m = is_positive.sum()
    n = len(order) - m
    ups, downs, first = 0, 0, 0
    while first < len(order):
        last, tied = first, 0
        while last < len(order) and scores[order[last]] == scores[order[first]]:
            tied += is_positive[order[last]]
            last += 1
        for k in range(first, last):
            study = order[k]
            if is_positive[study]:
                placed[study] += (downs + (last - first - tied) / 2) / n
            else:
                placed[study] += 1 - (ups + tied / 2) / m
        ups, downs, first = ups + tied, downs + last - first - tied, last


@native
def fill_bins(truth: Sums, probability: Sums, count: Sums, predicted: Sums, positive: Sums) -> None:
    """Add to bins of equal width over [0, 1] how many studies fall in each, their probabilities and their truths.

    truth, probability: [S, L], NaN in either = left out. count, predicted, positive: [L, B].
    """
    bins = count.shape[1]
    for study in range(truth.shape[0]):
        for label in range(truth.shape[1]):
            value = np.float64(probability[study, label])
            if np.isfinite(value) and np.isfinite(truth[study, label]):
                place = min(int(value * bins), bins - 1)
                count[label, place] += 1
                predicted[label, place] += value
                positive[label, place] += truth[study, label]
