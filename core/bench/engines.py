"""Seconds per step of DDP and of ZeRO 0 to 3 on the same model and batch, in one run: what sharding costs here.

Each engine runs in processes of its own: one a GPU, or two over gloo on the CPU.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import socket
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import psutil
import torch
from torch.profiler import ProfilerActivity, profile

from core.bench.step import synthetic_batch, timed
from core.compose import trial_from_dict, trial_to_dict
from core.config import EngineConfig, TrialConfig
from core.engines.base import ENGINES, Engine
from core.engines.ddp_engine import DDPEngineConfig
from core.engines.deepspeed_engine import DeepSpeedEngineConfig, import_deepspeed
from core.errors import require
from core.methods.base import METHODS, MethodContext, ViewBatch
from core.trainer import pick_device, step_generator

CPU_PROCESSES = 2
PROFILED_STEPS = 3


def bench_engines(config: TrialConfig, repeats: int = 10) -> list[dict[str, Any]]:
    """Rows of a table, one an engine.

    seconds_per_step: median, forward to update. ratio: to ddp's. communication_seconds: in collectives a step, waiting
    for the other processes included; what overlaps with computing is counted too. peak_memory_bytes: of rank 0, the
    device's on a GPU, else what the process grew by from before the model was built.
    """
    device = pick_device(config.runtime.device)
    import_deepspeed(device)
    processes = torch.cuda.device_count() if device.type == "cuda" else CPU_PROCESSES
    require(
        config.train.batch_size % (processes * config.train.micro_batches) == 0,
        f"train.batch_size={config.train.batch_size} cannot be divided equally among {processes} processes",
        f"choose a multiple of {processes} x train.micro_batches",
    )
    rows = [in_processes(config, engine, processes, repeats) for engine in engines(config)]
    base = rows[0]["seconds_per_step"]
    return [{**row, "ratio": row["seconds_per_step"] / base} for row in rows]


def engines(config: TrialConfig) -> list[EngineConfig]:
    """DDP and every stage; other settings of ZeRO are those of `engine=deepspeed`, where that was asked for."""
    asked = config.engine if isinstance(config.engine, DeepSpeedEngineConfig) else DeepSpeedEngineConfig()
    first = 1 if asked.offload_optimizer == "cpu" or asked.weights == "bf16" else 0
    return [DDPEngineConfig(), *(replace(asked, zero_stage=stage) for stage in range(first, 4))]


def in_processes(config: TrialConfig, engine: EngineConfig, processes: int, repeats: int) -> dict[str, Any]:
    """One engine's row, measured by rank 0 of a group of fresh processes."""
    context = multiprocessing.get_context("spawn")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    results: Any = context.SimpleQueue()
    saved = {**trial_to_dict(config), "engine": asdict(engine)}
    started = [
        context.Process(target=measure, args=(rank, processes, port, saved, repeats, results))
        for rank in range(processes)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    if any(process.exitcode for process in started):
        raise RuntimeError(f"a process of {engine} ended with an error (above)")
    row: dict[str, Any] = results.get()
    return row


def measure(rank: int, processes: int, port: int, saved: dict[str, Any], repeats: int, results: Any) -> None:
    """Be one rank: time steps, then profile a few more."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
    # Without the last, torch's profiler announces itself on stderr.
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "KINETO_LOG_LEVEL": "99"}
    config = trial_from_dict(saved)
    torch.set_num_threads(config.runtime.threads or max(1, (os.cpu_count() or 1) // processes))
    engine: Engine = ENGINES.build(config.engine, pick_device(config.runtime.device))
    before = psutil.Process().memory_info().rss
    attention = "sdpa" if engine.device.type == "cuda" else "plain"
    context = MethodContext(config.model, config.data.size, ("label",), 1000, 100, attention)
    torch.manual_seed(config.seed)
    engine.prepare(METHODS.build(config.method, context), config.optim, config.train)
    batch, generator = share_of_batch(config, engine), step_generator(engine.device, 0, 0, 0)

    def step(shown: ViewBatch) -> None:
        engine.step(shown, 0, 1e-4, generator)

    seconds = timed(step, batch, repeats)
    communication = communication_seconds(lambda: step(batch), engine.device)
    if rank == 0:
        stage = getattr(config.engine, "zero_stage", None)
        results.put(
            {
                "engine": "ddp" if stage is None else f"deepspeed ZeRO {stage}",
                "processes": processes,
                "seconds_per_step": seconds,
                "communication_seconds": communication,
                "peak_memory_bytes": peak(engine.device, before),
            }
        )
    engine.wait()
    engine.close()


def share_of_batch(config: TrialConfig, engine: Engine) -> ViewBatch:
    """This rank's part of a batch of random studies with two images each."""
    studies = config.train.batch_size
    mine = synthetic_batch(studies // engine.world_size, config.data.size, 1, engine.device)
    return replace(mine, slots=2 * studies, images_per_study=(2,) * studies, pairs_per_study=(1,) * studies)


def communication_seconds(step: Callable[[], None], device: torch.device) -> float:
    """Seconds a step that collectives took, by torch's profiler: gloo's own spans, or NCCL's kernels."""
    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities, acc_events=True) as profiler:
        for _ in range(PROFILED_STEPS):
            step()
        if cuda:
            torch.cuda.synchronize()
    micro = 0.0
    for event in profiler.key_averages():
        if cuda and event.key.startswith("nccl"):
            micro += event.self_device_time_total
        elif event.key.startswith("gloo:"):
            micro += event.cpu_time_total
    return micro / 1e6 / PROFILED_STEPS


def peak(device: torch.device, before: int) -> int:
    """Peak memory, bytes: the GPU's, or the growth of this process's resident set over `before`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
