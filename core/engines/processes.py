"""The processes that train together, from the variables that torchrun, SLURM's submitit and DeepSpeed set."""

from __future__ import annotations

import os
import socket

import torch
from torch import distributed as dist


def world_size() -> int:
    """WORLD_SIZE, 1 where it is not set."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """RANK, 0 where it is not set."""
    return int(os.environ.get("RANK", "0"))


def local_world_size() -> int:
    """Processes on this node; all of them where LOCAL_WORLD_SIZE is not set."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", world_size()))


def free_port() -> int:
    """A port of this machine that nothing listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def variables(rank: int, processes: int, port: int) -> dict[str, str]:
    """The variables of process `rank` of several on this machine, which meet at `port`."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def join(device: torch.device) -> torch.device:
    """Join the process group (a group of one without WORLD_SIZE); returns this process's own device.

    RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT say where the others are.
    """
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        if world_size() > 1:
            dist.init_process_group(backend)
        else:
            dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    return device


def wait() -> None:
    """Wait until every process has come here."""
    if dist.is_initialized():
        dist.barrier()


def leave() -> None:
    """Leave the process group, if any."""
    if dist.is_initialized():
        dist.destroy_process_group()
