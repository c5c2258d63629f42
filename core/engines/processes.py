"""The processes that train together, from the variables that torchrun, SLURM's submitit and DeepSpeed set."""

from __future__ import annotations

import os

import torch
from torch import distributed as dist

from core import distributed


def world_size() -> int:
    """WORLD_SIZE, 1 where it is not set, and while this process works alone."""
    return 1 if distributed.is_alone() else int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """RANK, 0 where it is not set, and while this process works alone."""
    return 0 if distributed.is_alone() else int(os.environ.get("RANK", "0"))


def local_world_size() -> int:
    """Processes on this node; all of them where LOCAL_WORLD_SIZE is not set."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", world_size()))


def meeting_place() -> dist.TCPStore:
    """Where processes of this machine find each other, at its `port`; keep it for as long as they train.

    The system picks the port when this listens. A free port that was only looked up could be taken when it is needed.
    """
    return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def variables(rank: int, processes: int, port: int) -> dict[str, str]:
    """The variables of process `rank` of several on this machine, which meet at the port of a `meeting_place`."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        # as torchrun says it: the store is there already, so rank 0 does not open one of its own
        "TORCHELASTIC_USE_AGENT_STORE": "True",
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
    if distributed.together():
        dist.barrier()


def leave() -> None:
    """Leave the process group, if any."""
    if distributed.together():
        dist.destroy_process_group()
