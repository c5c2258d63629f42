"""How fast batches arrive: memory map and stream beside a plain DataLoader and torchxrayvision over PNG files."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from core.bench.copying import bench_copying
from core.bench.rivals import INSTALL, PngFiles, TorchXRayVisionFiles, torchxrayvision_is_there, write_films
from core.config import LoaderConfig, TrialConfig
from core.data.build import prepare
from core.data.loader import Loader, make_loader
from core.data.pairings.base import PAIRINGS, Pairing
from core.data.store import StudyTable
from core.errors import ConfigError
from core.workers import keep_freed_memory

STUDIES = 2000
EPOCHS = 3
STEP_SECONDS = 0.02
PLAIN, XRV = "plain DataLoader, PNG", "torchxrayvision, PNG"
RATIOS = {"ratio_plain": PLAIN, "ratio_torchxrayvision": XRV}

# Of one batch: how many images it holds.
Counted = Callable[[], Iterator[int]]


def bench_loader(config: TrialConfig) -> list[dict[str, Any]]:
    """Rows of a table, one a way of loading, timed in this run on the same training images.

    images_per_second: of the quickest of some epochs, with a consumer that does nothing. waited_seconds: what a
    consumer that works 20 ms on each batch waits in all. ratio_plain, ratio_torchxrayvision: images_per_second over
    those of a plain DataLoader, and of one over torchxrayvision's dataset. All have `loader.workers` workers and read
    images of the training size; the first pass of each is not timed. The last three rows are of pixels without batches
    (core/bench/copying.py).
    """
    keep_freed_memory()  # as a process that trains does
    table = prepare(config.data, Path(config.paths.root)).splits["train"]
    table = table.subset(np.arange(table.n_studies) < STUDIES)
    pairing: Pairing = PAIRINGS.build(config.pairing)
    ways: dict[str, Counted] = {"memory map": ours(config, table, pairing, "mmap")}
    if pairing.within_study:
        ways["webdataset stream"] = ours(config, table, pairing, "webdataset")
    with tempfile.TemporaryDirectory() as folder:
        names = write_films(table, Path(folder))
        ways[PLAIN] = theirs(config, PngFiles(Path(folder), names), table.n_studies)
        if torchxrayvision_is_there():
            ways[XRV] = theirs(config, TorchXRayVisionFiles(Path(folder), names), table.n_studies)
        rows = measure(ways)
    if XRV not in ways:
        rows.append({"loader": f"{XRV}: left out, not installed ({INSTALL})"})
    loader = Loader(table, pairing, config.loader, seed=config.seed, batch_size=config.train.batch_size)
    return [*compared(rows, config.loader.workers), *bench_copying(loader)]


def compared(rows: list[dict[str, Any]], workers: int) -> list[dict[str, Any]]:
    """The rows with their speed over each rival's that was measured."""
    measured = {row["loader"]: row for row in rows if "images_per_second" in row}
    rivals = {ratio: speed(measured[name]) for ratio, name in RATIOS.items() if name in measured}
    for row in measured.values():
        row |= {"workers": workers, **{ratio: speed(row) / base for ratio, base in rivals.items()}}
    return rows


def ours(config: TrialConfig, table: StudyTable, pairing: Pairing, backend: str) -> Counted:
    """One epoch of a loader of this project."""
    setup: LoaderConfig = replace(config.loader, backend=backend)
    loader = make_loader(table, pairing, setup, seed=config.seed, batch_size=config.train.batch_size)

    def epoch() -> Iterator[int]:
        return (len(batch.images) for batch in loader.batches(0, loader.steps_per_epoch))

    return epoch


def theirs(config: TrialConfig, films: PngFiles, studies: int) -> Counted:
    """One epoch of a shuffled DataLoader whose workers are kept; a batch holds as many images as ours on average."""
    workers = config.loader.workers
    batch_size = min(len(films), max(1, round(config.train.batch_size * len(films) / studies)))
    loader = DataLoader(
        films,
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        prefetch_factor=config.loader.prefetch if workers else None,
        persistent_workers=workers > 0,
        multiprocessing_context="forkserver" if workers else None,
    )

    def epoch() -> Iterator[int]:
        return (len(batch) for batch in loader)

    return epoch


def measure(ways: dict[str, Counted]) -> list[dict[str, Any]]:
    """Of each way its quickest epoch, and the seconds that a working consumer waits in one.

    The ways take turns, so that what else runs on the machine slows all alike.
    """
    for way in ways.values():
        if not sum(way()):
            raise ConfigError("there is nothing to load", "choose a larger data set or a smaller batch")
    turns = [{name: timed(way) for name, way in ways.items()} for _ in range(EPOCHS)]
    return [
        {"loader": name, **quickest([turn[name] for turn in turns]), "waited_seconds": round(waited(way), 4)}
        for name, way in ways.items()
    ]


def timed(way: Counted) -> dict[str, Any]:
    """One epoch."""
    begun = time.perf_counter()
    images = sum(way())
    seconds = time.perf_counter() - begun
    return {"images": images, "seconds": round(seconds, 4), "images_per_second": round(images / seconds, 1)}


def quickest(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The row with the most images per second."""
    return max(rows, key=speed)


def speed(row: dict[str, Any]) -> float:
    """Images per second."""
    return float(row["images_per_second"])


def waited(way: Counted) -> float:
    """Seconds of an epoch in which a consumer that works 20 ms on each batch waits for the next one."""
    seconds, batches = 0.0, way()
    while True:
        asked = time.perf_counter()
        count = next(batches, 0)
        seconds += time.perf_counter() - asked
        if not count:
            return seconds
        time.sleep(STEP_SECONDS)
