"""The processes of one array task: who trains which trial, and with whom."""

from __future__ import annotations

import datetime
import os
import random
from dataclasses import dataclass
from typing import Any

# waiting for rank 0 may last as long as an evaluation, or a disk that is full
PATIENCE = datetime.timedelta(days=7)
GO, SKIP = "go", "skip"


@dataclass(frozen=True)
class Seat:
    """This process's place. group: which of the trials side by side. rank: in [0, ranks) within that trial.

    local: number among the trial's processes on this node.
    """

    group: int
    rank: int
    ranks: int
    local: int


def seat(ranks: int) -> Seat:
    """This process's seat, from the numbers that srun gives its tasks."""
    number, local = int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_LOCALID"])
    return Seat(number // ranks, number % ranks, ranks, local % ranks)


def rendezvous() -> tuple[str, int]:
    """Host of the step's first task, and a port that no other job, and no earlier life of this one, would take."""
    from submitit.slurm.slurm import SlurmJobEnvironment

    nodes = int(os.environ.get("SLURM_JOB_NUM_NODES", "1"))
    host = SlurmJobEnvironment().hostnames[0] if nodes > 1 else "127.0.0.1"
    life = f"{os.environ['SLURM_JOB_ID']}.{os.environ.get('SLURM_RESTART_COUNT', '0')}"
    # below the ports that Linux gives out by itself (net.ipv4.ip_local_port_range begins at 32768)
    return host, random.Random(life).randrange(10_000, 30_000)


def see_own_gpus(mine: Seat, groups: int) -> None:
    """Where the job has GPUs for all trials side by side, show each trial its own only."""
    visible = [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]
    if groups > 1 and len(visible) >= groups * mine.ranks:
        first = mine.group * mine.ranks
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(visible[first : first + mine.ranks])


class Company:
    """The processes that train one trial together. Rank 0 decides about each trial, and the others do as it says."""

    def __init__(self, mine: Seat) -> None:
        self.seat = mine
        self._host, port = rendezvous()
        # a hundred ports for each trial side by side: one to talk, the others for its trials in turn
        self._port = port + 100 * mine.group
        self._store: Any = None
        if mine.ranks > 1:
            from torch.distributed import TCPStore

            self._store = TCPStore(self._host, self._port, mine.ranks, mine.rank == 0, timeout=PATIENCE)

    def export(self, turn: int) -> None:
        """Set the variables by which torch's process groups of this turn's trial find each other."""
        mine = self.seat
        if mine.ranks == 1:
            return
        os.environ |= {
            "RANK": str(mine.rank),
            "WORLD_SIZE": str(mine.ranks),
            "LOCAL_RANK": str(mine.local),
            "MASTER_ADDR": self._host,
            "MASTER_PORT": str(self._port + 1 + turn % 99),
        }

    def say(self, turn: int, word: str) -> None:
        """Rank 0: what becomes of this turn's trial. The first word counts."""
        if self._store is not None:
            self._store.compare_set(f"turn {turn}", "", word)

    def hear(self, turn: int) -> str:
        """Other ranks: wait for what rank 0 says."""
        return bytes(self._store.get(f"turn {turn}")).decode()
