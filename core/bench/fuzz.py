"""Thousands of damaged image files through the decoders: does each end as a picture or in quarantine?"""

from __future__ import annotations

import multiprocessing
import re
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from core.bench.mutants import kinds, mutant
from core.data.pixels import Rendering, load_picture
from core.data.types import UnreadableImageError
from core.progress import Progress
from core.workers import die_with_parent

# No file may make the process that decodes it ask for more: then it would be the machine that suffers.
MAX_ADDRESSES = 8 << 30
DECODED, CRASHED, HUNG, HUNGRY, RAISED = "decoded", "crashed", "hung", "ate memory", "raised"
BAD = (CRASHED, HUNG, HUNGRY, RAISED)
READY = "ready"
Decode = Callable[[Path], object]


@dataclass(frozen=True)
class Limits:
    """What one file may take: seconds of the processor's time, seconds on the clock, and bytes of memory in all."""

    seconds: float = 10.0
    patience: float = 300.0
    resident: int = 512 << 20


@dataclass(frozen=True)
class Outcome:
    """What became of one file: DECODED, one of BAD, or else the reason for the quarantine table.

    seconds: of the processor's time.
    """

    number: int
    kind: str
    what: str
    seconds: float


def decode(path: Path) -> object:
    """What a build does with a file."""
    return load_picture(path, Rendering(64, "pad"))


def bench_fuzz(files: int, seed: int) -> list[dict[str, Any]]:
    """A row for each kind of file: how many were decoded, put in quarantine, and how many did what none may do.

    Below the rows of the kinds stands their sum. `slowest_s` is the most of the processor's time that one file took.
    """
    outcomes: list[Outcome] = []
    with Progress("damaged files", files, "files") as progress:
        for outcome in watched(range(files), seed, decode, Limits()):
            outcomes.append(outcome)
            progress.advance()
    rows = [row_of(kind, [outcome for outcome in outcomes if outcome.kind == kind]) for kind in kinds()]
    return [*rows, row_of("all", outcomes)]


def row_of(kind: str, outcomes: list[Outcome]) -> dict[str, Any]:
    """One row of the table."""
    counts = Counter(outcome.what for outcome in outcomes)
    bad = {what.replace(" ", "_"): counts[what] for what in BAD}
    quarantined = len(outcomes) - counts[DECODED] - sum(bad.values())
    slowest = max((outcome.seconds for outcome in outcomes), default=0.0)
    return {
        "kind": kind,
        "files": len(outcomes),
        "decoded": counts[DECODED],
        "quarantined": quarantined,
        **bad,
        "slowest_s": slowest,
    }


def watched(numbers: range, seed: int, decode: Decode, limits: Limits) -> Iterator[Outcome]:
    """The outcomes of damaged files `numbers`, decoded one after the other in a process that may die or hang.

    One that does is put on record for the file it was at, and another goes on behind that.
    """
    # Not fork: a thread of the caller's could hold a lock that the new process would wait for.
    context = multiprocessing.get_context("spawn")
    following = numbers.start
    while following < numbers.stop:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(theirs, following, numbers.stop, seed, decode, limits.resident))
        process.start()
        theirs.close()
        # It says so when it has imported what it needs: starting is not counted against a file.
        assert ours.recv() == READY
        for outcome in _heard(ours, process.pid, limits, range(following, numbers.stop), seed):
            yield outcome
            following = outcome.number + 1
        process.kill()
        process.join()


def _heard(pipe: Connection, pid: int | None, limits: Limits, numbers: range, seed: int) -> Iterator[Outcome]:
    """Outcomes from one process until all are there, or it takes too long, dies or has grown too large."""
    for number in numbers:
        try:
            outcome: Outcome | None = pipe.recv() if _answers(pipe, pid, limits) else None
        except EOFError:
            yield Outcome(number, mutant(seed, number)[0], CRASHED, 0.0)
            return
        if outcome is None:
            yield Outcome(number, mutant(seed, number)[0], HUNG, limits.seconds)
            return
        yield outcome
        if outcome.what == HUNGRY:
            return


def _answers(pipe: Connection, pid: int | None, limits: Limits) -> bool:
    """Wait until there is an answer, or until the process has used up its time."""
    begun, used = time.monotonic(), _used(pid)
    while not pipe.poll(0.2):
        if _used(pid) - used > limits.seconds or time.monotonic() - begun > limits.patience:
            return False
    return True


def _used(pid: int | None) -> float:
    """The processor's time that a process has had, s; 0 of one that has ended."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def work(pipe: Connection, first: int, stop: int, seed: int, decode: Decode, resident: int) -> None:
    """Decode files first to stop - 1 and send the outcome of each."""
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESSES, MAX_ADDRESSES))
    mutant(seed, first)
    pipe.send(READY)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, stop):
            kind, data = mutant(seed, number)
            path = Path(folder) / f"file{'.dcm' if kind.startswith('DICOM') else ''}"
            path.write_bytes(data)
            begun = time.process_time()
            what = attempt(path, decode)
            taken = time.process_time() - begun
            pipe.send(Outcome(number, kind, HUNGRY if peak() > resident else what, taken))


def attempt(path: Path, decode: Decode) -> str:
    """DECODED, RAISED, or the reason for the quarantine table."""
    try:
        decode(path)
    except UnreadableImageError as error:
        return str(error)
    except Exception:
        # Whatever it is, it would have ended a build.
        return RAISED
    return DECODED


def peak() -> int:
    """The most memory that this process ever held, bytes.

    Linux's getrusage also counts what the process that started this one held, so the kernel's other count comes first.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return 1024 * int(found[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
