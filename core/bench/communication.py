"""How long processes that train together talk to each other."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def communication_seconds(step: Callable[[], object], device: torch.device, steps: int) -> float:
    """Seconds a step that collectives took over `steps` calls of `step`, as torch's profiler sees them.

    They are gloo's own spans, or NCCL's kernels: waiting for the other processes is part of them, and so is what
    overlaps with computing.
    """
    # Without this, the profiler announces itself on stderr.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities, acc_events=True) as profiler:
        for _ in range(steps):
            step()
        if cuda:
            torch.cuda.synchronize()
    micro = 0.0
    for event in profiler.key_averages():
        if cuda and event.key.startswith("nccl"):
            micro += event.self_device_time_total
        elif event.key.startswith("gloo:"):
            micro += event.cpu_time_total
    return micro / 1e6 / steps
