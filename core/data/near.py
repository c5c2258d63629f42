"""Pictures that are the same film: a perceptual hash finds candidates, the films' detail confirms them.

A copy that was compressed again, made brighter or darker, resized or put in a black frame is found, mostly one whose
histogram was equalised too; seldom one that was cropped or turned.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import uniform_filter

from core.data.borders import without_borders
from core.data.types import Bytes, Film, Ints
from core.progress import Progress
from core.workers import cores

SIDE, LOW, BLUR = 32, 8, 7
# Of 34,000 pairs of 263 public films of different patients none is as alike as this (at most 0.74); of copies as
# described above 97 to 100 % are, equalised ones in 88 %. Hashes have 63 bits; those of two people's films differ in
# 26 of them in the middle. Simulated chests, which lack fine structure, come up to 0.9.
MAX_BITS, MIN_CORRELATION = 12, 0.9
BLOCK = 1024


@dataclass(frozen=True)
class Fingerprints:
    """What pictures look like. bits: [N] uint64, the perceptual hash. detail: [N, SIDE^2] int8, fine structure."""

    bits: NDArray[np.uint64]
    detail: NDArray[np.int8]


@dataclass(frozen=True)
class Near:
    """Two pictures that are alike, as rows of the fingerprints, and the correlation of their detail."""

    first: int
    second: int
    correlation: float


def fingerprint(picture: Bytes) -> tuple[np.uint64, NDArray[np.int8]]:
    """Hash and detail [SIDE^2] of a picture uint8 [H, W], its black frame left out."""
    inside = without_borders(Film(picture)).pixels
    small = np.asarray(Image.fromarray(inside).resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
    low = dctn(small, norm="ortho")[:LOW, :LOW].ravel()[1:]
    bits = np.packbits(np.append(False, low > np.median(low))).view(">u8")[0]
    detail = small - uniform_filter(small, BLUR)
    # Clipped, so that a burnt-in letter does not outweigh the rest.
    limit = 3 * np.abs(detail).mean() or 1.0
    return np.uint64(bits), np.rint(np.clip(detail / limit, -1, 1) * 127).astype(np.int8).ravel()


def near_pairs(prints: Fingerprints, group: Ints) -> list[Near]:
    """Pairs of pictures that are alike though their `group` [N] differs (a split's number), in order of their rows.

    Every pair of different groups is compared, over threads.
    """
    # Imported here: compiled code takes some tenths of a second, which a process without films need not spend.
    from core.data.compiled import alike

    # Only what is not in the largest group has to be held against all others.
    values, counts = np.unique(group, return_counts=True)
    largest = values[counts.argmax()]
    smaller = np.flatnonzero(group != largest)
    blocks = [smaller[begin : begin + BLOCK] for begin in range(0, len(smaller), BLOCK)]
    bits, detail = prints.bits, prints.detail
    squares = np.einsum("nd,nd->n", detail, detail, dtype=np.int64)
    found: list[Near] = []
    with ThreadPoolExecutor(cores()) as pool, Progress("comparing pictures", len(smaller), "images") as progress:
        pairs = pool.map(
            lambda rows: alike(rows, bits, detail, squares, group, largest, MAX_BITS, MIN_CORRELATION), blocks
        )
        for block, rows in zip(pairs, blocks, strict=True):
            found += [Near(min(row, other), max(row, other), correlation) for row, other, correlation in block]
            progress.advance(len(rows))
    return sorted(found, key=lambda pair: (pair.first, pair.second))
