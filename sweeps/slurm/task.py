"""What an array task does: `python -m sweeps.slurm.task RUN_FOLDER trials|data FIRST`, started by srun.

Its exit code speaks to slurm/requeue.sh, which requeues the array element: 0, all was done (or failed for a reason
that a further try would not mend); 75, a warning came and the rest is to go on later; anything else, it broke.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from core.config import TrialConfig
from core.errors import BusyError, Interrupted, UserError, disk_full
from core.identity import evaluation_key, trial_id
from core.io import read_json, write_json
from core.measures.base import Watch
from core.stages import progress
from sweeps.folders import trial_folder
from sweeps.interrupt import STOPPED, Warned
from sweeps.lease import owner
from sweeps.logs import print_to_logs
from sweeps.slurm.company import GO, SKIP, Company, seat, see_own_gpus
from sweeps.slurm.runs import Run, read_run, worker_name
from sweeps.status import LOG, read_status
from sweeps.trial import assist, compute, is_done, one_line, run_trial
from sweeps.worker import ATTEMPT, output_to

STARTS = "starts.json"
BUSY_SECONDS = 5.0
ROOM_BYTES = 8 << 20
# as the command line's exit code for what a user can mend
FAILED = 2


class StuckError(Exception):
    """A trial was started too often without getting any further."""


class BrokenCompanyError(Interrupted):
    """The processes of a trial lost each other; all of them start anew."""


class DiskFull(Interrupted):
    """The trial could not go on for want of space; nothing is wrong with it."""


def main(words: list[str]) -> int:
    """Run a task's part; returns the exit code."""
    run, what, first = read_run(Path(words[0])), words[1], int(words[2])
    number = first + int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    return exit_code(lambda warned: build(run) if what == "data" else work(run, number, warned))


def exit_code(work: Callable[[Warned], None]) -> int:
    """Do a task's work while warnings are heard; what slurm/requeue.sh is to know of its end."""
    warned = Warned()
    print_to_logs()
    try:
        with warned.heard():
            work(warned)
    except Interrupted as stopped:
        print(f"stopped: {stopped}", flush=True)
        return STOPPED
    except Exception as error:
        # a warning goes to helper processes too, and what it does to them may look like an error
        if warned():
            return STOPPED
        if not isinstance(error, UserError):
            raise
        print(f"viewpair: {error}", file=sys.stderr, flush=True)
        return FAILED
    return 0


def build(run: Run) -> None:
    """Build every data set of the run's trials."""
    from sweeps.run import build_data

    build_data([config for task in range(len(run.packing.tasks)) for config in run.configs(task)], run.root)


def work(run: Run, number: int, warned: Warned) -> None:
    """This process's share of a task: every trial of its group, one after the other."""
    packing = run.packing
    mine = seat(packing.ranks)
    see_own_gpus(mine, packing.concurrent)
    company = Company(mine)
    configs = run.configs(number)[mine.group :: packing.concurrent]
    worker = worker_name(job_id())
    if mine.rank == 0:
        print(f"trials: {', '.join(trial_id(config) for config in configs)}", flush=True)
    for turn, config in enumerate(configs):
        company.export(turn)
        if mine.rank == 0:
            lead(run, config, company, turn, worker, warned)
        elif company.hear(turn) == GO:
            follow(run, config, warned)


def job_id() -> str:
    """This job's id as squeue shows it."""
    array, element = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{element}" if array else os.environ["SLURM_JOB_ID"]


def follow(run: Run, config: TrialConfig, warned: Warned) -> None:
    """Help rank 0 to train. Raises Interrupted, at the same step as rank 0."""
    with output_to(trial_folder(run.root, trial_id(config)) / f"log-{os.environ['RANK']}.txt"):
        assist(config, run.root, warned)


def lead(run: Run, config: TrialConfig, company: Company, turn: int, worker: str, warned: Warned) -> None:
    """Run a trial, with the company's help, unless there is nothing to do or another run has it.

    While the disk is full, wait. Raises Interrupted when a warning came.
    """
    folder = trial_folder(run.root, trial_id(config))
    try:
        while folder.name not in run.failed() and not is_done(folder, evaluation_key(config)):
            try:
                attempt(run, config, company, turn, worker, warned)
                break
            except (DiskFull, OSError) as error:
                if not disk_full(error):
                    raise
                wait_for_room(folder.parent, warned)
                if company.seat.ranks > 1:
                    raise Interrupted("the disk was full; all processes start anew") from error
    except BusyError as error:
        # its owner finishes it, and is requeued by itself if it must
        print(f"{folder.name}: {error.what}; left to it", flush=True)
    finally:
        company.say(turn, SKIP)


def attempt(run: Run, config: TrialConfig, company: Company, turn: int, worker: str, warned: Warned) -> None:
    """One attempt at a trial, its output in its own log."""
    folder = trial_folder(run.root, trial_id(config))

    def together(config: TrialConfig, root: Path, report: Watch) -> None:
        note_start(folder, run)
        company.say(turn, GO)
        try:
            compute(config, root, report)
        except Exception as error:
            if disk_full(error):
                raise DiskFull(str(error)) from error
            if company.seat.ranks > 1 and not isinstance(error, UserError | Interrupted):
                # most likely another process of the trial died; a start that gets no further is counted as it is
                traceback.print_exc()
                raise BrokenCompanyError(one_line(error)) from error
            raise

    wait_for_former_self(folder, worker, warned)
    with output_to(folder / LOG):
        print(f"{ATTEMPT}{worker}, process {os.getpid()}", flush=True)
        done = run_trial(config, run.root, worker, together, warned)
    print(f"{folder.name}: {'done' if done else 'failed'}", flush=True)
    if not done:
        run.note_failed(folder.name)
        if company.seat.ranks > 1:
            # the others may wait for us in a collective for ever: end the step, and go on in a new life
            raise RuntimeError(f"trial {folder.name} failed on rank 0 of {company.seat.ranks}")


def wait_for_room(folder: Path, warned: Warned) -> None:
    """Wait until a file of some size can be written in `folder` again."""
    probe = folder / f".room-{os.getpid()}"
    while True:
        warned.check()
        try:
            probe.write_bytes(bytes(ROOM_BYTES))
            return
        except OSError as error:
            if not disk_full(error):
                raise
            print(f"the disk is full: {folder}; waiting for room", file=sys.stderr, flush=True)
            time.sleep(BUSY_SECONDS)
        finally:
            probe.unlink(missing_ok=True)


def wait_for_former_self(folder: Path, worker: str, warned: Warned) -> None:
    """Wait while an earlier life of this very task seems to hold the trial: it is dead, or will be soon."""
    while (held := owner(folder)) is not None and held.worker == worker:
        warned.check()
        print(f"{folder.name}: waiting for the lease of {held}, an earlier life of this task", flush=True)
        time.sleep(BUSY_SECONDS)


def note_start(folder: Path, run: Run) -> None:
    """Count starts that found the trial where the one before did, and mark that this life of the task has counted one.

    Raises StuckError after launcher.max_starts.
    """
    path = folder / STARTS
    saved = read_json(path) if path.exists() else {}
    now = {"run": run.folder.name, "at": progress(folder)}
    same = {name: saved.get(name) for name in now} == now
    starts = saved.get("starts", 0) + 1 if same else 1
    most = int(run.launcher["max_starts"])
    if starts > most:
        last = read_status(folder)
        said = f"; the last one said: {last.error}" if last and last.error else ""
        raise StuckError(
            f"given up: {most} starts got no further than {now['at']}{said}; a time limit that is too short for one"
            " checkpoint, too little memory, or a node that is broken"
        )
    write_json(path, {**now, "starts": starts})
    # only now may slurm/requeue.sh put a task back that breaks: the count above is what ends that
    mark_life()


def mark_life() -> None:
    """Leave the mark that this life of the task got somewhere (see slurm/requeue.sh)."""
    Path(f"{os.environ['VIEWPAIR_LIVES']}-{os.environ.get('SLURM_RESTART_COUNT', '0')}").touch()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
