"""What was submitted, on disk, and where SLURM has it now.

A run's folder is written before its jobs are submitted, and a job's name leads back to it. So nothing is lost when
the shell that submits is killed between the two, and no job number is needed to find anything.

runs/<run>/run.json: tasks (trial ids), packing, launcher. tasks/<n>.json: the configs of one task. lives/: a mark for
each life of a task that counted the start of a trial. failed/: trials that failed in this run and are not tried again
in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.compose import trial_from_dict, trial_to_dict
from core.config import TrialConfig
from core.errors import DataError
from core.io import read_json, write_json
from sweeps.folders import runs_folder
from sweeps.slurm import scheduler
from sweeps.slurm.scheduler import Job

RUN, BUILD, FAILED, LIVES = "run.json", "build.json", "failed", "lives"
PREFIX = "viewpair"
DATA_JOB, REPORT_JOB = "data", "report"
RANGES, MERGE = "ranges", "merge"


@dataclass(frozen=True)
class Packing:
    """How trials lie in tasks, and tasks in arrays.

    ranks: processes of one trial. concurrent: trials side by side in a task. array_size: tasks in one array.
    """

    tasks: tuple[tuple[str, ...], ...]
    ranks: int
    concurrent: int
    array_size: int

    def arrays(self) -> list[range]:
        """The task numbers of each array."""
        n = len(self.tasks)
        return [range(first, min(first + self.array_size, n)) for first in range(0, n, self.array_size)]

    def describe(self) -> str:
        """One line for a plan."""
        trials = sum(map(len, self.tasks))
        most = max(map(len, self.tasks), default=0)
        beside = f", {self.concurrent} side by side" if self.concurrent > 1 else ""
        each = f" of up to {most} trials each{beside}" if most > 1 else " of one trial each"
        ranks = f", {self.ranks} processes a trial" if self.ranks > 1 else ""
        arrays = f" in {len(self.arrays())} arrays (MaxArraySize)" if len(self.arrays()) > 1 else ""
        return f"{trials} trials in {len(self.tasks)} array tasks{each}{ranks}{arrays}"


def pack(trials: Sequence[str], per_task: int, concurrent: int, ranks: int, array_size: int) -> Packing:
    """Cut trials, in their order, into tasks of `per_task`."""
    tasks = tuple(tuple(trials[i : i + per_task]) for i in range(0, len(trials), per_task))
    return Packing(tasks, ranks, concurrent, array_size)


def write_run(
    folder: Path,
    trials: Mapping[str, TrialConfig],
    packing: Packing,
    ablations: Iterable[str],
    launcher: Mapping[str, Any],
) -> None:
    """Write a run's folder, run.json last."""
    for name in (FAILED, LIVES, "logs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, task in enumerate(packing.tasks):
        write_json(folder / "tasks" / f"{number:06d}.json", [trial_to_dict(trials[trial]) for trial in task])
    write_json(
        folder / RUN,
        {
            "ablations": list(ablations),
            "tasks": [list(task) for task in packing.tasks],
            "ranks": packing.ranks,
            "concurrent": packing.concurrent,
            "array_size": packing.array_size,
            "launcher": dict(launcher),
        },
    )


@dataclass(frozen=True)
class Run:
    """A run as read back."""

    folder: Path
    ablations: tuple[str, ...]
    packing: Packing
    launcher: Mapping[str, Any]

    @property
    def root(self) -> Path:
        """The folder of everything that is written."""
        return self.folder.parents[1]

    def configs(self, task: int) -> list[TrialConfig]:
        """The trials of one task."""
        return [trial_from_dict(saved) for saved in read_json(self.folder / "tasks" / f"{task:06d}.json")]

    def failed(self) -> set[str]:
        """Trials that failed in this run."""
        return {path.name for path in (self.folder / FAILED).glob("*")}

    def note_failed(self, trial: str) -> None:
        """Let no later life of this run try a trial again."""
        (self.folder / FAILED / trial).touch()


def read_run(folder: Path) -> Run:
    """Read a run's folder. Raises DataError."""
    saved = read_json(folder / RUN)
    try:
        tasks = tuple(tuple(task) for task in saved["tasks"])
        packing = Packing(tasks, int(saved["ranks"]), int(saved["concurrent"]), int(saved["array_size"]))
        return Run(folder, tuple(saved["ablations"]), packing, saved["launcher"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder / RUN}: field {error} is missing or wrong", "run the sweep again") from error


def job_name(folder: Path, what: str | int) -> str:
    """The name of a job of this run: "data", "report", or the number of an array's first task."""
    return f"{PREFIX}.{folder.name}.{what}"


@dataclass(frozen=True)
class Place:
    """Where SLURM has a trial: in which run's job, and whether that run has given the trial up."""

    run: Path
    job: Job
    given_up: bool

    @property
    def waits(self) -> bool:
        """Whether the job is in the queue and will run the trial."""
        return self.job.alive and not self.job.runs and not self.given_up

    @property
    def works(self) -> bool:
        """Whether the job runs and has not given the trial up."""
        return self.job.runs and not self.given_up

    def holds(self, worker: str) -> bool:
        """Whether a lease is this job's."""
        return worker == worker_name(self.job.id)

    def __str__(self) -> str:
        job = self.job
        if job.held:
            return f"job {job.id} is held by SLURM ({job.reason}); type: scontrol release {job.id}"
        if self.waits:
            return f"in the queue as job {job.id} ({job.reason})"
        if self.works:
            return f"job {job.id} on {job.nodes}"
        said = f"job {job.id} ended: {job.state.lower().replace('_', ' ')}"
        return "" if job.alive else f"{said} (log: {self.run / 'logs' / f'{job.id}_0_log.out'})"


def worker_name(job: str) -> str:
    """The name under which a job's tasks hold leases."""
    return f"slurm {job}"


def places(root: Path, queue: Sequence[Job] | None = None) -> dict[str, Place]:
    """The latest place of every trial that a submission under `root` covers; living jobs come before ended ones.

    queue: what squeue says; None asks it. Raises SchedulerError where SLURM is absent or does not answer.
    """
    found: dict[str, Place] = {}
    for run, jobs in sorted(living_and_ended(root, queue).items()):
        read = read_run(run)
        failed = read.failed()
        for job, task in jobs:
            for trial in read.packing.tasks[task] if 0 <= task < len(read.packing.tasks) else ():
                place = Place(run, job, trial in failed)
                before = found.get(trial)
                if before is None or _rank(place) >= _rank(before):
                    found[trial] = place
    return found


def _rank(place: Place) -> tuple[bool, str]:
    return place.job.alive and not place.given_up, place.run.name


def submitted(root: Path) -> list[Path]:
    """Folders of the runs that were submitted to SLURM, oldest first."""
    return sorted(path.parent for path in runs_folder(root).glob(f"*/{RUN}"))


def builds(root: Path) -> list[Path]:
    """Folders of the data sets' builds that were submitted to SLURM, oldest first."""
    return sorted(path.parent for path in runs_folder(root).glob(f"*/{BUILD}"))


def living_and_ended(root: Path, queue: Sequence[Job] | None = None) -> dict[Path, list[tuple[Job, int]]]:
    """(job, number of its task) of every array element that SLURM knows, by the run's folder."""
    runs = {run.name: run for run in submitted(root)}
    if not runs:
        return {}
    known = [job for job in (scheduler.queue() if queue is None else queue) if parts(job)[0] in runs]
    forgotten = runs.keys() - {parts(job)[0] for job in known}
    known += scheduler.ended(
        job_name(runs[name], tasks[0]) for name in forgotten for tasks in read_run(runs[name]).packing.arrays()
    )
    found: dict[Path, list[tuple[Job, int]]] = {}
    for job in known:
        run, what = parts(job)
        if run in runs and what.isdigit() and job.element >= 0:
            found.setdefault(runs[run], []).append((job, int(what) + job.element))
    return found


def jobs_of(run: Path, queue: Sequence[Job] | None = None) -> list[Job]:
    """Every job of a run or a build that waits or runs. queue: what squeue says; None asks. Raises SchedulerError."""
    return [job for job in (scheduler.queue() if queue is None else queue) if parts(job)[0] == run.name and job.alive]


def parts(job: Job) -> tuple[str, str]:
    """(run, what) of a job's name, as `job_name` made it; ("", "") for one that is not ours."""
    prefix, _, rest = job.name.partition(".")
    run, _, what = rest.rpartition(".")
    return (run, what) if prefix == PREFIX else ("", "")
