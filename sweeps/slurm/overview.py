"""What SLURM has of the sweeps under a root folder, for `viewpair status` and for who waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeps.launchers.base import Overview
from sweeps.slurm import scheduler
from sweeps.slurm.runs import DATA_JOB, REPORT_JOB, builds, jobs_of, parts, places, submitted
from sweeps.slurm.scheduler import Job, SchedulerError

# squeue costs the whole cluster's controller something each time
PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class SlurmOverview(Overview):
    """runs: names of those that have jobs which wait or run. silent: SLURM does not answer."""

    runs: frozenset[str] = frozenset()
    silent: bool = False


def overview(root: Path) -> SlurmOverview:
    """Ask SLURM, if anything was ever submitted to it. That it does not answer is told, not raised."""
    runs, building = {run.name for run in submitted(root)}, builds(root)
    if not runs and not building:
        return SlurmOverview()
    try:
        queue = scheduler.queue()
        found = places(root, queue)
    except SchedulerError as silent:
        return SlurmOverview(text=f"SLURM: {silent.what}; the states above are from disk alone", silent=True)
    known = runs | {folder.name for folder in building}
    ours = [job for job in queue if parts(job)[0] in known]
    notes = [note for job in ours if (note := _note(job, parts(job)[1]))]
    notes += [_build_note(folder, jobs) for folder in building if (jobs := jobs_of(folder, queue))]
    living = frozenset(parts(job)[0] for job in ours if job.alive) & runs
    return SlurmOverview(found, "\n".join([*notes, *_held(ours)]), living)


def _build_note(folder: Path, jobs: Sequence[Job]) -> str:
    """How far the build of a data set is. jobs: of it that wait or run."""
    # Imported here: hardly anyone who asks has such jobs, and they need all that reads data sets.
    from sweeps.slurm.building import array_ids, read_order

    order, running = read_order(folder), sum(job.runs for job in jobs)
    far = f"{len(order.written())} of {len(order.shards())} shards written"
    return (
        f"SLURM: building {order.target.name}: {far}, {running} tasks run and {len(jobs) - running} wait; "
        f"jobs {', '.join(array_ids(jobs))}"
    )


def _note(job: Job, what: str) -> str:
    """What to say of a data or report job; "" for any other, and for one that did its work."""
    if what not in (DATA_JOB, REPORT_JOB) or not (job.alive or (what, job.state) == (DATA_JOB, "FAILED")):
        return ""
    name = "building the data" if what == DATA_JOB else "the report"
    waiting = f" ({job.reason})" if job.reason not in ("", "None") else ""
    return f"SLURM: {name}: job {job.id} {job.state.lower()}{waiting}"


def _held(jobs: Sequence[Job]) -> list[str]:
    held = [job.id for job in jobs if job.held]
    return [f"SLURM holds {len(held)} jobs, and will for ever; type: scontrol release {','.join(held)}"] if held else []


class Watch:
    """An overview that is asked for often, and asks SLURM seldom."""

    def __init__(
        self, root: Path, seconds: float = PATIENCE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root, self._seconds, self._clock = root, seconds, clock
        self._seen: SlurmOverview | None = None
        self._asked = 0.0

    def __call__(self) -> SlurmOverview:
        """The last answer, or a new one when that is old."""
        if self._seen is None or self._clock() - self._asked >= self._seconds:
            self._seen, self._asked = overview(self._root), self._clock()
        return self._seen
