"""Pixels by memory map: the bytes of the files, whatever the size, the order and the number of threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.data.mapped import ShardPixels
from core.errors import DataError

SHARDS, IMAGES = 7, 5


def made(folder: Path, size: int) -> tuple[ShardPixels, np.ndarray]:
    """A source of images at odd offsets of some files, and what stands there [I, size, size]."""
    rng = np.random.default_rng(size)
    paths, offsets, expected = [], [], []
    for number in range(SHARDS):
        area, gap = size * size, int(rng.integers(1, 99))
        content = rng.integers(0, 256, gap + IMAGES * (area + gap), dtype=np.uint8)
        paths.append(folder / f"{number}.tar")
        paths[-1].write_bytes(content.tobytes())
        offsets.append(gap + np.arange(IMAGES) * (area + gap))
        expected += [content[begin : begin + area].reshape(size, size) for begin in offsets[-1]]
    shard = np.repeat(np.arange(SHARDS), IMAGES)
    return ShardPixels(tuple(paths), shard, np.concatenate(offsets).astype(np.int64), size), np.stack(expected)


@pytest.mark.parametrize("size", [1, 5, 16, 17, 31, 64])
def test_pixels_are_the_bytes_of_the_files(size: int, tmp_path: Path) -> None:
    source, expected = made(tmp_path, size)
    for count in (0, 1, 3, 4, 5, 60):
        rows = np.random.default_rng(count).integers(0, len(expected), count)
        np.testing.assert_array_equal(source.read(rows), expected[rows])
    rows = np.arange(0, len(expected), 3)
    np.testing.assert_array_equal(source.take(rows).read(np.arange(len(rows))), expected[rows])


def test_threads_that_all_read_first(tmp_path: Path) -> None:
    source, expected = made(tmp_path, 16)
    start = threading.Barrier(8)

    def read(seed: int) -> bool:
        rows = np.random.default_rng(seed).permutation(len(expected))
        start.wait()
        return bool((source.read(rows) == expected[rows]).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(8)))


def test_a_map_that_another_thread_made_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, expected = made(tmp_path, 16)
    memmap, firsts = np.memmap, []

    def late(*arguments: Any, **settings: Any) -> np.ndarray:
        monkeypatch.setattr(np, "memmap", memmap)
        np.testing.assert_array_equal(source.read(np.array([0])), expected[:1])
        firsts.append(source._maps[0])
        return memmap(*arguments, **settings)

    monkeypatch.setattr(np, "memmap", late)
    np.testing.assert_array_equal(source.read(np.array([0])), expected[:1])
    # The other thread may be reading from it still.
    assert source._maps[0] is firsts[0]


@pytest.mark.parametrize("row", [0, -1])
def test_a_shard_that_was_cut_is_named_and_not_read_beyond_its_end(row: int, tmp_path: Path) -> None:
    source, _ = made(tmp_path, 16)
    for path in source.shards:
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="outside their shard"):
        source.read(np.array([row]))


def test_an_offset_before_the_file_is_refused(tmp_path: Path) -> None:
    source, _ = made(tmp_path, 16)
    source.offset[3] = -1
    with pytest.raises(DataError, match="outside their shard"):
        source.read(np.array([3]))
