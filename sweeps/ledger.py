"""The ledger: declared trials minus verified results, read from disk each time that it is asked."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Protocol

from core.progress import duration
from sweeps.folders import trial_folder
from sweeps.lease import owner
from sweeps.status import LOG, Status, read_status
from sweeps.trial import is_done

# a shared folder answers each question late, and many at once as fast as one
THREADS, CHUNK = 8, 100
STATES = ("done", "running", "preempted", "interrupted", "failed", "skipped", "pending")


class Place(Protocol):
    """Where a scheduler has a trial. Each answer is a text for people.

    waits: whether a job that has not begun, or is to begin again, will run it. works: whether a job that runs will.
    """

    @property
    def waits(self) -> bool: ...

    @property
    def works(self) -> bool: ...

    def holds(self, worker: str) -> bool:
        """Whether the lease of this worker belongs to the place's job."""

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Line:
    """Where one trial stands. state: one of STATES. detail: step and time left, or the reason and the log.

    updated: when it last told of itself, Unix time, s; 0 = never.
    """

    trial: str
    state: str
    detail: str = ""
    updated: float = field(default=0.0, compare=False)


def read_ledger(root: Path, trials: Mapping[str, str], places: Mapping[str, Place] | None = None) -> list[Line]:
    """Where every declared trial (id -> evaluation key) stands, in this order.

    done: its result is there and whole. A result that was cut short is a hole, whatever status.json says.
    running: a live process has it. preempted: it began, stopped, and a scheduler will run it again (places: trial ->
    where). interrupted: it began, and nobody will go on with it unless it is run again. skipped: the launcher that it
    was last asked of cannot run it. pending: it never began.
    """
    known = places or {}

    def lines(part: Sequence[tuple[str, str]]) -> list[Line]:
        return [_line(trial, key, trial_folder(root, trial), known.get(trial)) for trial, key in part]

    items = list(trials.items())
    chunks = [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]
    began, worked = time.perf_counter(), time.thread_time()
    found = lines(chunks.pop(0)) if chunks else []
    waited = time.perf_counter() - began - (time.thread_time() - worked)
    # threads gain where one waits for a file server; on a local disk they only stand in each other's way
    if waited < (time.perf_counter() - began) / 2:
        return [*found, *chain.from_iterable(map(lines, chunks))]
    with ThreadPoolExecutor(THREADS) as pool:
        return [*found, *chain.from_iterable(pool.map(lines, chunks))]


def _line(trial: str, evaluation: str, folder: Path, place: Place | None) -> Line:
    there = str(place) if place else ""
    if is_done(folder, evaluation):
        return Line(trial, "done")
    if not folder.is_dir():
        return Line(trial, "pending", there)
    status = read_status(folder)
    held = owner(folder)
    # a lease outlives its process for a while; the scheduler knows at once that the process's job is not running
    if held is not None and not (place and place.waits and place.holds(held.worker)):
        return Line(trial, "running", _joined(_progress(status), there if place and place.works else ""))
    if place and (place.waits or place.works):
        began = status is not None and status.state in ("running", "stopped")
        return Line(trial, "preempted" if began else "pending", _joined(_progress(status) if began else "", there))
    if status is None or status.state == "done":
        # trained for another evaluation, or its result was deleted or cut short
        return Line(
            trial, "pending", _joined("was trained; its result for these settings is missing" if status else "", there)
        )
    if status.state == "failed":
        return Line(trial, "failed", f"{status.error} (log: {folder / LOG})", status.updated)
    if status.state == "skipped":
        return Line(trial, "skipped", status.error)
    return Line(trial, "interrupted", _joined(_progress(status), there))


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _progress(status: Status | None) -> str:
    if status is None:
        return ""
    if not status.total_steps:
        return status.stage
    left = status.seconds_left()
    text = f"{status.stage}, step {status.step} of {status.total_steps}"
    return text if math.isnan(left) else f"{text}, {duration(left)} left"


def counts(lines: list[Line]) -> dict[str, int]:
    """How many trials are in each state; states without one are left out."""
    found = Counter(line.state for line in lines)
    return {state: found[state] for state in STATES if found[state]}


def summary(lines: list[Line]) -> str:
    """'12 trials: 10 done, 1 failed, 1 pending'."""
    return f"{len(lines)} trials: " + ", ".join(f"{n} {state}" for state, n in counts(lines).items())
