"""How fast batches arrive: memory map and stream beside a plain PyTorch DataLoader over PNG files."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from core.config import LoaderConfig, TrialConfig
from core.data.build import prepare
from core.data.loader import make_loader
from core.data.pairings.base import PAIRINGS, Pairing
from core.data.store import StudyTable
from core.errors import ConfigError

STUDIES = 2000
EPOCHS = 2
STEP_SECONDS = 0.02

# Of one batch: how many images it holds.
Counted = Callable[[], Iterator[int]]


class PngFiles(Dataset[torch.Tensor]):
    """The plain way: item i opens and decodes file i. uint8 [1, H, W]."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index]) as image:
            return torch.from_numpy(np.array(image))[None]


def bench_loader(config: TrialConfig) -> list[dict[str, Any]]:
    """Rows of a table, one a way of loading, timed in this run on the same training images.

    images_per_second: with a consumer that does nothing. waited_seconds: what a consumer that works 20 ms on each
    batch waits in all. ratio: images_per_second over the plain DataLoader's. All have `loader.workers` workers and
    read images of the training size; the first pass of each is not timed.
    """
    table = prepare(config.data, Path(config.paths.root)).splits["train"]
    table = table.subset(np.arange(table.n_studies) < STUDIES)
    pairing: Pairing = PAIRINGS.build(config.pairing)
    ways: dict[str, Counted] = {"memory map": ours(config, table, pairing, "mmap")}
    if pairing.within_study:
        ways["webdataset stream"] = ours(config, table, pairing, "webdataset")
    with tempfile.TemporaryDirectory() as folder:
        ways["plain DataLoader, PNG"] = plain(config, write_pngs(table, Path(folder)), table.n_studies)
        rows = [{"loader": name, **measure(way)} for name, way in ways.items()]
    base = rows[-1]["images_per_second"]
    return [{**row, "workers": config.loader.workers, "ratio": row["images_per_second"] / base} for row in rows]


def ours(config: TrialConfig, table: StudyTable, pairing: Pairing, backend: str) -> Counted:
    """One epoch of a loader of this project."""
    setup: LoaderConfig = replace(config.loader, backend=backend)
    loader = make_loader(table, pairing, setup, seed=config.seed, batch_size=config.train.batch_size)

    def epoch() -> Iterator[int]:
        return (len(batch.images) for batch in loader.batches(0, loader.steps_per_epoch))

    return epoch


def plain(config: TrialConfig, paths: list[Path], studies: int) -> Counted:
    """One epoch of a shuffled DataLoader whose workers are kept; a batch holds as many images as ours on average."""
    workers = config.loader.workers
    batch_size = min(len(paths), max(1, round(config.train.batch_size * len(paths) / studies)))
    loader = DataLoader(
        PngFiles(paths),
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


def write_pngs(table: StudyTable, folder: Path) -> list[Path]:
    """Every image of `table` as a PNG file."""
    paths = []
    for row in range(table.n_images):
        paths.append(folder / f"{row:06d}.png")
        Image.fromarray(table.pixels.read(np.array([row]))[0]).save(paths[-1])
    return paths


def measure(way: Counted) -> dict[str, Any]:
    """Images, seconds and images per second of some epochs, and the seconds that a working consumer waits."""
    if not sum(way()):
        raise ConfigError("there is nothing to load", "choose a larger data set or a smaller batch")
    begun = time.perf_counter()
    images = sum(sum(way()) for _ in range(EPOCHS))
    seconds = time.perf_counter() - begun
    waited, batches = 0.0, way()
    while True:
        asked = time.perf_counter()
        count = next(batches, 0)
        waited += time.perf_counter() - asked
        if not count:
            break
        time.sleep(STEP_SECONDS)
    return {
        "images": images,
        "seconds": round(seconds, 4),
        "images_per_second": round(images / seconds, 1),
        "waited_seconds": round(waited, 4),
    }
