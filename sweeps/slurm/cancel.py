"""Stopping what was submitted."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path

from sweeps.slurm import scheduler
from sweeps.slurm.runs import builds, living_and_ended, parts, read_run, submitted

# SLURM gives a task KillWait seconds (30 unless set otherwise) between TERM and KILL
PATIENCE_SECONDS = 90.0
POLL_SECONDS = 1.0


def cancel(root: Path, trials: Collection[str], ablations: Collection[str]) -> int:
    """Cancel every job that would run one of the trials, and wait until they are gone; returns how many there were.

    ablations: whose trials these are; data and report jobs of runs of other ablations stay. Raises SchedulerError.
    """
    return _cancel(lambda: _jobs(root, trials, ablations))


def cancel_builds(root: Path) -> int:
    """Cancel every job that builds a data set, and wait until they are gone; returns how many there were.

    What they have written stays. Raises SchedulerError.
    """
    names = {folder.name for folder in builds(root)}

    def living() -> list[str]:
        return [job.id for job in scheduler.queue() if job.alive and parts(job)[0] in names]

    return _cancel(living) if names else 0


def _cancel(find: Callable[[], list[str]]) -> int:
    wanted = find()
    if not wanted:
        return 0
    scheduler.cancel(wanted)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while find() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return len(wanted)


def _jobs(root: Path, trials: Collection[str], ablations: Collection[str]) -> list[str]:
    """Ids of the living jobs, those that wait for others first: they would start when the others end."""
    runs = {run.name: read_run(run) for run in submitted(root)}
    found = [
        job.id
        for job in (scheduler.queue() if runs else [])
        if job.alive
        and parts(job)[0] in runs
        and set(runs[parts(job)[0]].ablations) <= set(ablations)
        and job.element < 0
    ]
    for run, jobs in living_and_ended(root).items():
        tasks = runs[run.name].packing.tasks
        found += [job.id for job, task in jobs if job.alive and any(trial in trials for trial in tasks[task])]
    return found
