"""What SLURM has of the sweeps under a root folder, for `viewpair status`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sweeps.slurm import scheduler
from sweeps.slurm.runs import DATA_JOB, REPORT_JOB, Place, parts, places, submitted
from sweeps.slurm.scheduler import Job, SchedulerError


@dataclass(frozen=True)
class Overview:
    """places: trial -> where SLURM has it. text: what else a person should know, "" for nothing."""

    places: Mapping[str, Place] = field(default_factory=dict)
    text: str = ""


def overview(root: Path) -> Overview:
    """Ask SLURM, if anything was ever submitted to it. That it does not answer is told, not raised."""
    runs = {run.name for run in submitted(root)}
    if not runs:
        return Overview()
    try:
        found = places(root)
        helpers = [
            job for job in scheduler.queue() if parts(job)[0] in runs and parts(job)[1] in (DATA_JOB, REPORT_JOB)
        ]
    except SchedulerError as silent:
        return Overview(text=f"SLURM: {silent.what}; the states above are from disk alone")
    notes = [
        _note(job, parts(job)[1]) for job in helpers if job.alive or (parts(job)[1], job.state) == (DATA_JOB, "FAILED")
    ]
    return Overview(found, "\n".join(notes))


def _note(job: Job, what: str) -> str:
    name = "building the data" if what == DATA_JOB else "the report"
    waiting = f" ({job.reason})" if job.reason not in ("", "None") else ""
    return f"SLURM: {name}: job {job.id} {job.state.lower()}{waiting}"
