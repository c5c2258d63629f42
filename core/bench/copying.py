"""Pixels by memory map beside a plain copy of as many bytes: what finding them in shards costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from core.data.loader import Loader
from core.data.types import Bytes, Ints

PASSES = 8  # and at least as many as last this long together, so that small data sets are timed too
SECONDS = 1.0


def bench_copying(loader: Loader) -> list[dict[str, Any]]:
    """Three rows: the pixels of an epoch's batches read from the shards, and copied from one array in memory, a batch
    and an image at a time.

    All write into new arrays of a batch's size. The array is copied from front to back; the shards are read in the
    epoch's order. The passes alternate, so that what else runs slows all alike; the quickest pass of each counts.
    ratio_memcpy: images per second over those of copying a batch at a time.
    """
    batches = image_rows(loader)
    images = sum(map(len, batches))
    source = loader.table.pixels.read(np.concatenate(batches))
    ends = np.cumsum([0, *map(len, batches)])
    parts = [source[first:last] for first, last in pairwise(ends)]
    quickest = alternate([lambda: read(loader, batches), lambda: copy(parts), lambda: copy_images(parts)])
    names = ("memory map, pixels alone", "memcpy of the same bytes", "memcpy, image by image")
    return [
        {
            "loader": name,
            "images": images,
            "seconds": seconds,
            "images_per_second": round(images / seconds, 1),
            "ratio_memcpy": quickest[1] / seconds,
        }
        for name, seconds in zip(names, quickest, strict=True)
    ]


def image_rows(loader: Loader) -> list[Ints]:
    """The image rows of each batch of the first epoch."""
    drawn = loader.epoch(0)
    rows = drawn.order[: loader.steps_per_epoch * loader.global_batch].reshape(loader.steps_per_epoch, -1)
    shown = [drawn.pairs.images[batch] for batch in rows]
    return [images[images >= 0] for images in shown]


def read(loader: Loader, batches: list[Ints]) -> None:
    """Every batch's pixels from the shards."""
    for rows in batches:
        loader.table.pixels.read(rows)


def copy(parts: list[Bytes]) -> None:
    """Every part into a new array."""
    for part in parts:
        np.copyto(np.empty_like(part), part)


def copy_images(parts: list[Bytes]) -> None:
    """Every part into a new array, image by image: what no reading of single images can be faster than."""
    for part in parts:
        for target, image in zip(np.empty_like(part), part, strict=True):
            target[:] = image


def alternate(ways: list[Callable[[], None]]) -> list[float]:
    """The seconds of each way's quickest pass, after one that is not timed."""
    for way in ways:
        way()
    seconds: list[list[float]] = [[] for _ in ways]
    while len(seconds[0]) < PASSES or sum(map(sum, seconds)) < SECONDS:
        for way, taken in zip(ways, seconds, strict=True):
            begun = time.perf_counter()
            way()
            taken.append(time.perf_counter() - begun)
    return [min(taken) for taken in seconds]
