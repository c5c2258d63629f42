"""What the doctor's job does on a node: `python -m sweeps.slurm.probe FOLDER`, started by srun.

Each process leaves what it found in FOLDER, a file a step, so that the steps it came to are told from those it did not:
facts-<rank>.json, meeting-<rank>.json (where there are two), ready-<rank>.json, heard-<rank>.json.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from core.io import read_json, write_json
from sweeps.doctor import server_ahead

REQUEST, FACTS, MEETING, READY, HEARD = "request", "facts", "meeting", "ready", "heard"
MEETING_SECONDS, SIGNAL_SECONDS = 60, 90


def answer(folder: Path, step: str, rank: int) -> Path:
    """Where a process leaves what it found at a step."""
    return folder / f"{step}-{rank}.json"


def main(words: list[str]) -> int:
    """Look around, meet the other process, and wait for the warning."""
    heard = threading.Event()
    signal.signal(signal.SIGUSR2, lambda *_: heard.set())
    folder = Path(words[0])
    rank, ranks = int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_NTASKS"])
    write_json(answer(folder, FACTS, rank), facts(folder))
    if ranks > 1:
        write_json(answer(folder, MEETING, rank), meet(rank, ranks))
    write_json(answer(folder, READY, rank), {})
    if heard.wait(SIGNAL_SECONDS):
        write_json(answer(folder, HEARD, rank), {})
    return 0


def facts(folder: Path) -> dict[str, Any]:
    """This process's surroundings. token: what the submitting host has written."""
    return {
        **versions(),
        "node": os.environ.get("SLURMD_NODENAME", platform.node()),
        "token": read_json(folder / f"{REQUEST}.json")["token"],
        "server_ahead": server_ahead(folder),
        "gpus": gpus(),
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
    }


def versions() -> dict[str, str]:
    """Of Python, torch and this project; asked here and there, and compared."""
    import torch

    from core.identity import code_version

    return {"python": platform.python_version(), "torch": torch.__version__, "viewpair": code_version()}


def gpus() -> int:
    """GPUs that torch sees."""
    import torch

    return torch.cuda.device_count()


def meet(rank: int, ranks: int) -> dict[str, str]:
    """Sum over the processes by each backend that can work here: backend -> what went wrong, "" for nothing."""
    local = ranks // int(os.environ.get("SLURM_STEP_NUM_NODES", "1"))
    backends = ["gloo", *(["nccl"] if gpus() >= local else [])]
    return {backend: add_up(backend, rank, ranks, number) for number, backend in enumerate(backends)}


def add_up(backend: str, rank: int, ranks: int, number: int) -> str:
    """Whether an all_reduce gives the sum; number: of the meeting, each has a port of its own."""
    import datetime

    import torch
    from torch import distributed as dist

    from sweeps.slurm.company import rendezvous

    device = f"cuda:{os.environ['SLURM_LOCALID']}" if backend == "nccl" else "cpu"
    try:
        host, port = rendezvous()
        patience = datetime.timedelta(seconds=MEETING_SECONDS)
        dist.init_process_group(backend, f"tcp://{host}:{port + number}", patience, ranks, rank)
        total = torch.full((4,), rank + 1.0, device=device)
        dist.all_reduce(total)
        expected = ranks * (ranks + 1) / 2
        return "" if bool((total == expected).all()) else f"the sum is {total.tolist()}, not {expected}"
    except Exception as error:
        # the answer goes to the one who asked, who prints it
        return " ".join(f"{type(error).__name__}: {error}".split())
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
