"""Optimiser steps of a trial as it would be trained, timed: loader, augmentation, engine, all processes."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from core import distributed, telemetry
from core.bench.communication import communication_seconds
from core.config import TrialConfig
from core.data.store import StudyStore
from core.errors import Interrupted, require
from core.evaluation.base import Metric
from core.trainer import OnStep, Run, Stop

if TYPE_CHECKING:
    from core.measures.throughput import ThroughputConfig

EVALUATION = "throughput"


@dataclass(frozen=True)
class Seen:
    """What one process saw.

    step_seconds, data_wait_seconds: of each timed step, s. communication_seconds: a step, s. peak_memory_bytes: of
    its device, or its resident set.
    """

    first_step_seconds: float
    step_seconds: list[float]
    data_wait_seconds: list[float]
    communication_seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Measured:
    """What all processes saw together. images: of each timed step, over all processes. cost: of the whole trial.

    flops_per_image: of a forward pass. peak: of one device, TFLOP/s.
    """

    seen: list[Seen]
    images: list[int]
    flops_per_image: float
    peak: float
    cost: dict[str, Any]


class Clock:
    """Marks on the device's own time line, so that the host need not wait for it (and so slow it down)."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._marks: list[Any] = []

    def mark(self) -> None:
        """A mark behind all work that was given to the device so far."""
        if self._cuda:
            self._marks.append(torch.cuda.Event(enable_timing=True))
            self._marks[-1].record()
        else:
            self._marks.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """Seconds between successive marks; waits for the device."""
        if self._cuda:
            torch.cuda.synchronize()
            return [before.elapsed_time(after) / 1e3 for before, after in itertools.pairwise(self._marks)]
        return differences(self._marks)


class Steps:
    """Optimiser steps of a run, one a call, until `stop` says yes on any process: then Interrupted is raised."""

    def __init__(self, run: Run, on_step: OnStep | None, stop: Stop) -> None:
        self._run, self._on_step = run, on_step
        self._stopping = distributed.StopTogether(stop)
        self._source: Iterator[Any] = run.batches()
        self.taken = 0

    def take(self) -> None:
        """From the loader to the update, as training does it; nothing here waits for the device."""
        self._run.train_step(next(self._source), self.taken)
        self.taken += 1

    def take_one_of(self, total: int) -> None:
        """The same, heard of by whoever follows the trial."""
        self.take()
        if self._on_step is not None:
            self._on_step(self.taken, total)
        if self._stopping():
            self._stopping.settle()
            raise Interrupted(f"stopped at step {self.taken} of {total}; it is measured anew")

    def settle(self) -> None:
        """End the last vote on stopping."""
        self._stopping.settle()


def measure(
    config: TrialConfig,
    store: StudyStore,
    folder: Path,
    settings: ThroughputConfig,
    on_step: OnStep | None,
    stop: Stop,
) -> Measured:
    """Be one of the trial's processes, all of which must call this, and learn what all of them saw.

    Raises ConfigError when there are not `runtime.processes` of them, Interrupted when `stop` said yes on any,
    NonFiniteLossError when a loss was not finite (such steps update nothing, and are faster).
    """
    if config.runtime.threads:
        torch.set_num_threads(config.runtime.threads)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    run = Run(config, store, folder)
    try:
        require(
            run.engine.world_size == config.runtime.processes,
            f"runtime.processes={config.runtime.processes}, but {run.engine.world_size} train together",
            "start it with viewpair sweep, which starts as many",
        )
        began = time.perf_counter()
        seen, images = timed(run, settings, Steps(run, on_step, stop))
        run.meter.seconds = time.perf_counter() - began
        run.check_finite()
        everyone = distributed.from_all_ranks(seen)
        measured = Measured(everyone, images, sum(run.flops.values()), run.peak, run.cost())
        run.engine.wait()
    finally:
        run.engine.close()
    return measured


def timed(run: Run, settings: ThroughputConfig, steps: Steps) -> tuple[Seen, list[int]]:
    """What this process saw, and the images of every timed step over all processes."""
    meter, total = run.meter, settings.warm_up + settings.steps
    first = Clock(run.engine.device)
    first.mark()
    steps.take_one_of(total)
    first.mark()
    first_seconds = first.seconds()[0]
    for _ in range(settings.warm_up - 1):
        steps.take_one_of(total)
    run.engine.wait()
    clock, waits, images = Clock(run.engine.device), [meter.data_wait_seconds], [meter.images]
    clock.mark()
    for _ in range(settings.steps):
        steps.take_one_of(total)
        clock.mark()
        waits.append(meter.data_wait_seconds)
        images.append(meter.images)
    seconds = clock.seconds()
    steps.settle()
    communication = communication_seconds(steps.take, run.engine.device, settings.profiled)
    memory = telemetry.peak_memory(run.engine.device)
    return Seen(first_seconds, seconds, differences(waits), communication, memory), differences(images)


def differences(sums: Sequence[Any]) -> list[Any]:
    """What was added from each running sum to the next."""
    return [after - before for before, after in itertools.pairwise(sums)]


def metrics(config: TrialConfig, measured: Measured) -> list[Metric]:
    """The result of a throughput trial, evaluation "throughput"; n is the number of timed steps.

    step_seconds and images_per_second: medians over the steps, each as long as its slowest process took.
    data_wait_seconds: mean over steps of the process that waited longest (a loader that stalls now and then has a
    median of 0). communication_seconds: a step, mean over processes. peak_memory_bytes, first_step_seconds: the
    greatest. mfu: of all devices.
    """
    seen, processes = measured.seen, len(measured.seen)
    steps = [max(each) for each in zip(*(s.step_seconds for s in seen), strict=True)]
    waits = [max(each) for each in zip(*(s.data_wait_seconds for s in seen), strict=True)]
    rate = statistics.median(count / seconds for count, seconds in zip(measured.images, steps, strict=True))
    values = {
        "images_per_second": rate,
        "step_seconds": statistics.median(steps),
        "mfu": telemetry.model_flops_utilisation(rate, measured.flops_per_image, measured.peak * processes),
        "peak_memory_bytes": float(max(s.peak_memory_bytes for s in seen)),
        "data_wait_seconds": statistics.fmean(waits),
        "communication_seconds": statistics.fmean(s.communication_seconds for s in seen),
        "first_step_seconds": max(s.first_step_seconds for s in seen),
        "processes": float(processes),
        "nodes": float(config.runtime.nodes),
    }
    return [Metric(EVALUATION, name, value, len(steps)) for name, value in values.items()]
