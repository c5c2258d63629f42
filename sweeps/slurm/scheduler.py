"""What SLURM is asked and told: squeue, sacct, scontrol, scancel, sbatch. Nothing else starts these programs.

squeue is the source of truth: it needs no accounting. sacct, where there is one, only tells how jobs ended that
squeue has forgotten.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from core.errors import UserError

# clients wait up to MessageTimeout (10 s unless set otherwise) for a controller that is away
PATIENCE_SECONDS = 60.0
ALIVE = (
    "PENDING",
    "CONFIGURING",
    "RUNNING",
    "COMPLETING",
    "SUSPENDED",
    "STOPPED",
    "REQUEUED",
    "REQUEUE_FED",
    "REQUEUE_HOLD",
    "RESIZING",
    "SIGNALING",
    "SPECIAL_EXIT",
    "STAGE_OUT",
)
# what one SLURM job leaves in the environment would be taken for options of the next
KEPT = ("SLURM_CONF", "SLURM_CLUSTERS")
QUEUE_FORMAT = "%i|%K|%T|%r|%N|%j"


class SchedulerError(UserError):
    """SLURM is absent, does not answer, or refuses. refused: what it complained of, "" unless it answered."""

    refused = ""

    @classmethod
    def refusal(cls, program: str, said: str) -> SchedulerError:
        """The error for a program that ended with a complaint."""
        error = cls(f"{program} says: {said}", "see scontrol ping and sinfo")
        error.refused = said
        return error


@dataclass(frozen=True)
class Job:
    """One job, or one element of an array.

    id: as scancel takes it ("17", "17_3"). element: number in the array, -1 for none. state: in SLURM's words.
    reason: why it waits. nodes: where it runs.
    """

    id: str
    element: int
    state: str
    reason: str
    nodes: str
    name: str

    @property
    def alive(self) -> bool:
        """Whether it runs, or will."""
        return self.state in ALIVE

    @property
    def runs(self) -> bool:
        """Whether it has nodes now."""
        return self.alive and self.state not in ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT")

    @property
    def held(self) -> bool:
        """Whether it waits for a person."""
        return self.state in ("REQUEUE_HOLD", "SPECIAL_EXIT") or (
            self.state == "PENDING" and "held" in self.reason.lower()
        )


def environment() -> dict[str, str]:
    """This process's environment without what a SLURM job around it has set."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or not name.startswith(("SLURM_", "SBATCH_", "SRUN_", "SALLOC_"))
    }


def find(program: str) -> None:
    """Raise SchedulerError unless one of SLURM's programs is there."""
    if shutil.which(program) is None:
        hint = "run this on a login node of the cluster, or use launcher=local"
        raise SchedulerError(f"there is no {program} on this machine", hint)


def ask(*command: str) -> str:
    """What one of SLURM's programs prints. Raises SchedulerError with what it complained of."""
    find(command[0])
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise SchedulerError(f"{command[0]} does not answer", "is slurmctld up? see scontrol ping") from error
    if done.returncode:
        raise SchedulerError.refusal(command[0], complaint(done.stderr or done.stdout))
    return done.stdout


def complaint(text: str) -> str:
    """SLURM's error message as one line, without the prefixes."""
    lines = [line.split("error: ", 1)[-1].strip() for line in text.splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(lines)) or "nothing"


def queue() -> list[Job]:
    """This user's jobs: those that wait or run, and those that ended a short while ago (SLURM's MinJobAge)."""
    printed = ask("squeue", "-h", "-r", "-t", "all", "-u", getpass.getuser(), "-o", QUEUE_FORMAT)
    return [_job(line) for line in printed.splitlines() if line.count("|") >= QUEUE_FORMAT.count("|")]


def _job(line: str) -> Job:
    job, element, state, reason, nodes, name = (field.strip() for field in line.split("|", 5))
    return Job(job, int(element) if element.isdigit() else -1, state, reason, nodes, name)


def ended(names: Iterable[str]) -> list[Job]:
    """How jobs of these names ended, by accounting; empty where it is off."""
    wanted = ",".join(sorted(set(names)))
    if not wanted or shutil.which("sacct") is None:
        return []
    fields = "JobID,State,NodeList,JobName"
    try:
        printed = ask("sacct", "-n", "-P", "-X", "-S", "now-30days", "-o", fields, f"--name={wanted}")
    except SchedulerError:
        # accounting is off or away: it only adds a reason to what is known without it
        return []
    return [job for line in printed.splitlines() for job in _ended(*line.split("|", 3))]


def _ended(number: str, state: str, nodes: str, name: str) -> Iterator[Job]:
    """The jobs of one line of sacct: elements of an array that never ran share one, as 17_[2-5,8]."""
    from submitit.slurm.slurm import read_job_id

    for array, *elements in read_job_id(number):
        for element in range(int(elements[0]), int(elements[-1]) + 1) if elements else (-1,):
            job = f"{array}_{element}" if elements else array
            yield Job(job, element, state.split(" ")[0], "", nodes, name)


def cancel(jobs: Sequence[str]) -> None:
    """Cancel jobs by id; one that has ended meanwhile is no error."""
    for first in range(0, len(jobs), 500):
        ask("scancel", "--quiet", *jobs[first : first + 500])


def warn(job: str) -> None:
    """Send a job's processes what they get ahead of the end."""
    ask("scancel", "--quiet", "--signal=USR2", job)


def configuration() -> dict[str, str]:
    """The controller's settings, as scontrol prints them."""
    pairs = [line.partition("=") for line in ask("scontrol", "show", "config").splitlines() if "=" in line]
    return {key.strip(): value.strip() for key, _, value in pairs}


def partition(name: str) -> dict[str, str]:
    """The settings of a partition; "" is the default one, and of a list "a,b" it is the first."""
    described = [
        dict(word.split("=", 1) for word in line.split() if "=" in word)
        for line in ask("scontrol", "show", "partition", "-o").splitlines()
    ]
    wanted = name.split(",")[0]
    return next(each for each in described if (each["PartitionName"] == wanted if wanted else each["Default"] == "YES"))


def max_array_size() -> int:
    """Elements that one array may have (their numbers lie below it)."""
    return int(configuration().get("MaxArraySize", 1001))


def partitions() -> list[str]:
    """Names of the partitions."""
    return sorted({line.strip("* \n") for line in ask("sinfo", "-h", "-o", "%P").splitlines()})
