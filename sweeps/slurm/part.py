"""What a task that builds data does: `python -m sweeps.slurm.part FOLDER ranges|merge`, started by srun.

Its exit code speaks to slurm/requeue.sh as that of sweeps.slurm.task does: a range that was killed is requeued as long
as it gets further, and goes on with the shards that are missing of it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from core.data.build import build_shards, merge
from sweeps.slurm.building import Order, read_order
from sweeps.slurm.runs import RANGES
from sweeps.slurm.task import exit_code, mark_life


def main(words: list[str]) -> int:
    """Run a task's part; returns the exit code."""
    order, what = read_order(Path(words[0])), words[1]
    return exit_code(lambda _: write(order) if what == RANGES else index(order))


def write(order: Order) -> None:
    """Write the shards of this task's range that are missing."""
    names, layout = order.ranges[int(os.environ["SLURM_ARRAY_TASK_ID"])], order.layout()
    for plan in build_shards(layout, layout.named(names), int(order.launcher["cpus"])):
        mark_life()
        print(f"{plan.name}: done", flush=True)


def index(order: Order) -> None:
    """Write the data set's index."""
    store = merge(order.layout())
    print(f"built {store.name} at {store.size} px: {store.folder}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
