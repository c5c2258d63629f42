"""Seconds per step of DDP and of ZeRO 0 to 3 on the same model and batch, in one run: what sharding costs here.

One process a GPU, or two over gloo on the CPU. All engines live side by side in them, each with a model of its own,
and take their steps in turn: the model must fit that often.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from dataclasses import asdict, replace
from typing import Any

import psutil
import torch

from core.bench.communication import communication_seconds
from core.bench.step import synthetic_batch
from core.compose import trial_from_dict, trial_to_dict
from core.config import EngineConfig, TrialConfig
from core.engines.base import ENGINES, Engine
from core.engines.ddp_engine import DDPEngineConfig
from core.engines.deepspeed_engine import DeepSpeedEngineConfig, import_deepspeed
from core.engines.processes import join, meeting_place, variables
from core.errors import require
from core.methods.base import METHODS, MethodContext, ViewBatch
from core.trainer import pick_device, step_generator

CPU_PROCESSES = 2
WARM_UP_STEPS = 3
PROFILED_STEPS = 3


def bench_engines(config: TrialConfig, repeats: int = 10) -> list[dict[str, Any]]:
    """Rows of a table, one an engine.

    seconds_per_step: median, forward to update. ratio: to ddp's. communication_seconds: in collectives a step, waiting
    for the other processes included; what overlaps with computing is counted too. memory_bytes: what the engine, its
    model and its first steps added on rank 0, to the device's peak on a GPU, else to the process's resident set (ddp,
    the first, then also has what any process takes for its first step).
    """
    device = pick_device(config.runtime.device)
    import_deepspeed(device)
    processes = torch.cuda.device_count() if device.type == "cuda" else CPU_PROCESSES
    require(
        config.train.batch_size % (processes * config.train.micro_batches) == 0,
        f"train.batch_size={config.train.batch_size} cannot be divided equally among {processes} processes",
        f"choose a multiple of {processes} x train.micro_batches",
    )
    rows = in_processes(config, processes, repeats)
    base = rows[0]["seconds_per_step"]
    return [{**row, "ratio": row["seconds_per_step"] / base} for row in rows]


def engines(config: TrialConfig) -> list[EngineConfig]:
    """DDP and every stage; other settings of ZeRO are those of `engine=deepspeed`, where that was asked for."""
    asked = config.engine if isinstance(config.engine, DeepSpeedEngineConfig) else DeepSpeedEngineConfig()
    first = 1 if asked.offload_optimizer == "cpu" or asked.weights == "bf16" else 0
    return [DDPEngineConfig(), *(replace(asked, zero_stage=stage) for stage in range(first, 4))]


def in_processes(config: TrialConfig, processes: int, repeats: int) -> list[dict[str, Any]]:
    """The rows, measured by rank 0 of a group of fresh processes."""
    context = multiprocessing.get_context("spawn")
    meeting = meeting_place()
    results: Any = context.SimpleQueue()
    saved = [{**trial_to_dict(config), "engine": asdict(engine)} for engine in engines(config)]
    started = [
        context.Process(target=measure, args=(rank, processes, meeting.port, saved, repeats, results))
        for rank in range(processes)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    if any(process.exitcode for process in started):
        raise RuntimeError("a process of the benchmark ended with an error (above)")
    rows: list[dict[str, Any]] = results.get()
    return rows


def measure(rank: int, processes: int, port: int, saved: list[dict[str, Any]], repeats: int, results: Any) -> None:
    """Be one rank: a step of each engine in turn, so that what else runs on the machine slows all alike."""
    os.environ |= variables(rank, processes, port)
    configs = [trial_from_dict(trial) for trial in saved]
    torch.set_num_threads(configs[0].runtime.threads or max(1, (os.cpu_count() or 1) // processes))
    join(pick_device(configs[0].runtime.device))
    contestants = [Contestant(config) for config in configs]
    for contestant in contestants * repeats:
        contestant.engine.wait()
        contestant.seconds.append(contestant.timed_step())
    rows = [contestant.row() for contestant in contestants]
    if rank == 0:
        results.put(rows)
    contestants[0].engine.wait()
    contestants[0].engine.close()


class Contestant:
    """One engine with a model of its own, warm, and what it was measured to take."""

    def __init__(self, config: TrialConfig) -> None:
        self.stage = getattr(config.engine, "zero_stage", None)
        self.engine: Engine = ENGINES.build(config.engine, pick_device(config.runtime.device))
        device = self.engine.device
        before = held(device)
        attention = "sdpa" if device.type == "cuda" else "plain"
        context = MethodContext(config.model, config.data.size, ("label",), 1000, 100, attention)
        torch.manual_seed(config.seed)
        self.engine.prepare(METHODS.build(config.method, context), config.optim, config.train)
        self.batch, self.generator = share_of_batch(config, self.engine), step_generator(device, 0, 0, 0)
        self.seconds: list[float] = []
        for _ in range(WARM_UP_STEPS):
            self.timed_step()
        self.memory = most_held(device) - before

    def timed_step(self) -> float:
        """Seconds of one optimiser step, its work on the device included."""
        begun = time.perf_counter()
        self.engine.step(self.batch, 0, 1e-4, self.generator)
        if self.engine.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begun

    def row(self) -> dict[str, Any]:
        """Its row of the table; profiles some more steps."""
        return {
            "engine": "ddp" if self.stage is None else f"deepspeed ZeRO {self.stage}",
            "processes": self.engine.world_size,
            "seconds_per_step": statistics.median(self.seconds),
            "communication_seconds": communication_seconds(self.timed_step, self.engine.device, PROFILED_STEPS),
            "memory_bytes": self.memory,
        }


def share_of_batch(config: TrialConfig, engine: Engine) -> ViewBatch:
    """This rank's part of a batch of random studies with two images each."""
    studies = config.train.batch_size
    mine = synthetic_batch(studies // engine.world_size, config.data.size, 1, engine.device)
    return replace(mine, slots=2 * studies, images_per_study=(2,) * studies, pairs_per_study=(1,) * studies)


def held(device: torch.device) -> int:
    """Bytes that this process holds now: allocated on the GPU (from where its peak counts anew), or resident."""
    if device.type != "cuda":
        return int(psutil.Process().memory_info().rss)
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def most_held(device: torch.device) -> int:
    """Bytes: the GPU's peak since `held`, or the resident set."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else held(device)
