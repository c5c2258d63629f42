"""What a data set as large as MIMIC-CXR costs before and in the first steps: seconds to open it, seconds to draw an
epoch, memory."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil

from core.bench.fuzz import peak
from core.bench.simulated import Scale, simulate
from core.config import LoaderConfig, PairingConfig, TrialConfig
from core.data.loader import Loader
from core.data.pairings.base import PAIRINGS
from core.data.store import open_store
from core.errors import check_range

STEPS = 20
WORKERS = 4
MIMIC_CXR = Scale()

T = TypeVar("T")


def bench_scale(
    config: TrialConfig, scale: Scale = MIMIC_CXR, pairings: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Rows of a table: one of each of `pairings` (default: all), and one with more workers. Memory-mapped, each
    measured in a fresh process.

    open_seconds: index and shards checked and opened. epoch_seconds: the pairs and the order of one epoch.
    batch_seconds: mean of STEPS batches of `train.batch_size` studies; what they read are holes in the shards' files:
    no disk takes part. peak_memory_bytes: the most that the process ever held, its libraries and the pages of the
    shards included; own_memory_bytes: what it holds at the end without pages of files.
    """
    check_range("train.batch_size", config.train.batch_size, 1, scale.studies[0])
    root = Path(config.paths.root)
    root.mkdir(parents=True, exist_ok=True)
    ways = [(name, LoaderConfig()) for name in pairings or PAIRINGS.names()]
    ways.append(("same_study", LoaderConfig(workers=WORKERS)))
    with tempfile.TemporaryDirectory(prefix="bench-scale-", dir=root) as folder:
        simulate(Path(folder), scale, config.seed)
        return [in_fresh_process(Path(folder), pairing, loader, config.train.batch_size) for pairing, loader in ways]


def in_fresh_process(folder: Path, pairing: str, loader: LoaderConfig, batch_size: int) -> dict[str, Any]:
    """`measure` in a process of its own: peak memory is a process's whole life long."""
    context = multiprocessing.get_context("spawn")
    results: Any = context.SimpleQueue()
    process = context.Process(target=measure, args=(folder, pairing, loader, batch_size, results))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError("a process of the benchmark ended with an error (above)")
    row: dict[str, Any] = results.get()
    return row


def measure(folder: Path, pairing: str, config: LoaderConfig, batch_size: int, results: Any) -> None:
    """Open the data set, draw an epoch and read some batches; puts the row into `results`."""
    strategy: PairingConfig = PAIRINGS.get(pairing).config()
    store, open_seconds = timed(lambda: open_store(folder))
    table = store.splits["train"]
    loader = Loader(table, PAIRINGS.build(strategy), config, seed=0, batch_size=batch_size)
    # Of the first epoch the loader has drawn the pairs, to know how many steps there are.
    drawn, epoch_seconds = timed(lambda: loader.epoch(1))
    first, steps = loader.steps_per_epoch, min(STEPS, loader.steps_per_epoch)
    images, batch_seconds = timed(lambda: [len(b.images) for b in loader.batches(first, first + steps)])
    memory = psutil.Process().memory_info()
    row = {
        "pairing": pairing,
        "workers": config.workers,
        "studies": sum(t.n_studies for t in store.splits.values()),
        "images": sum(t.n_images for t in store.splits.values()),
        "drawn": len(drawn.order),
        "open_seconds": open_seconds,
        "epoch_seconds": epoch_seconds,
        "batch_seconds": batch_seconds / steps,
        "images_read": sum(images),
        "peak_memory_bytes": peak(),
        "own_memory_bytes": memory.rss - memory.shared,
    }
    results.put(row)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` returns, and the seconds that it took."""
    begun = time.perf_counter()
    made = work()
    return made, time.perf_counter() - begun
