"""One owner at a time for a folder, over processes and hosts, by rename alone (no locks; safe on NFS).

The folder `lease/` holds one directory per generation: 1, 2, 3, ... The highest is the present one. A claim is
a directory that already holds its owner's name, renamed to the next number: renaming onto a directory that is
not empty fails, so of many claimants one wins, and whoever read an older generation cannot win any more.
Releasing renames the file inside, so a number stays taken for ever. The owner's heartbeat touches that file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import BusyError, DataError
from core.io import read_json, write_json
from sweeps.processes import ProcessId

HEARTBEAT_SECONDS = 15.0
STALE_SECONDS = 120.0
OWNER, RELEASED = "owner.json", "released.json"


@dataclass(frozen=True)
class Owner:
    """Who holds a lease.

    worker: the launcher's name for the process ("" = none). silent: seconds since its heartbeat (0 on this host,
    where the process itself is looked at).
    """

    process: ProcessId
    worker: str
    silent: float

    def is_alive(self) -> bool:
        """By its process where we can see it; elsewhere by its heartbeat."""
        return self.process.is_alive() if self.process.is_local() else self.silent < STALE_SECONDS

    def __str__(self) -> str:
        return f"process {self.process.pid} on {self.process.host.split('/')[0]}"


class Lease:
    """A held lease. `check()` raises once another owner has taken it over (this process was silent too long)."""

    def __init__(self, folder: Path, generation: int) -> None:
        self._folder, self.generation = folder, generation
        self._stopped, self._lost = threading.Event(), False

    def check(self) -> None:
        """Raise BusyError when the lease was taken over."""
        if self._lost:
            raise BusyError(f"{self._folder.parent} was taken over by another process", "this one was silent too long")

    def beat(self) -> None:
        """One heartbeat: notice a take-over, else show that the owner lives."""
        self._lost = self._lost or _latest(self._folder) != self.generation
        if not self._lost:
            os.utime(self._folder / str(self.generation) / OWNER)

    def keep_beating(self) -> None:
        """Beat until `release`, in a thread of its own."""

        def loop() -> None:
            while not self._stopped.wait(HEARTBEAT_SECONDS):
                # a file system that is away for a while costs a beat, not the trial
                with contextlib.suppress(OSError):
                    self.beat()

        threading.Thread(target=loop, name="lease-heartbeat", daemon=True).start()

    def release(self) -> None:
        """Let others have it. Renaming needs no space, so that works on a full disk too."""
        self._stopped.set()
        present = self._folder / str(self.generation)
        if (present / OWNER).exists():
            (present / OWNER).rename(present / RELEASED)


@contextlib.contextmanager
def hold(folder: Path, worker: str = "") -> Iterator[Lease]:
    """Own `folder` for the length of the block. Raises BusyError when a live process owns it."""
    lease = acquire(folder, worker)
    lease.keep_beating()
    try:
        yield lease
    finally:
        lease.release()


def owner(folder: Path) -> Owner | None:
    """The live owner of `folder`, or None."""
    found = _owner(folder / "lease", _latest(folder / "lease"))
    return found if found and found.is_alive() else None


def acquire(folder: Path, worker: str = "") -> Lease:
    """Claim `folder`. Raises BusyError when a live process owns it or wins the race for it."""
    leases = folder / "lease"
    latest = _latest(leases)
    present = _owner(leases, latest)
    if present and present.is_alive():
        raise _busy(folder, present)
    claim = leases / f".claim-{uuid.uuid4().hex}"
    write_json(claim / OWNER, {**ProcessId.mine().plain(), "worker": worker, "token": claim.name})
    target = leases / str(latest + 1)
    if not _rename(claim, target):
        shutil.rmtree(claim, ignore_errors=True)
        raise _busy(folder, _owner(leases, _latest(leases)))
    if _latest(leases) != latest + 1:
        # we claimed a number that a faster one had used, released and cleared away
        shutil.rmtree(target, ignore_errors=True)
        raise _busy(folder, _owner(leases, _latest(leases)))
    _clear(leases, latest + 1)
    return Lease(leases, latest + 1)


def _rename(claim: Path, target: Path) -> bool:
    """Whether `claim` became `target`."""
    try:
        claim.rename(target)
    except OSError as error:
        # NFS may repeat a rename whose answer was lost: then our claim is there already
        if _token(target) == claim.name:
            return True
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _token(generation: Path) -> str:
    with contextlib.suppress(DataError, KeyError):
        return str(read_json(generation / OWNER)["token"])
    return ""


def _latest(leases: Path) -> int:
    if not leases.is_dir():
        return 0
    return max((int(name) for name in os.listdir(leases) if name.isdigit()), default=0)


def _owner(leases: Path, generation: int) -> Owner | None:
    """Who holds a generation; None when it is released, cleared away, or unreadable (a crash of the machine)."""
    path = leases / str(generation) / OWNER
    try:
        saved = read_json(path)
        process = ProcessId.parse(saved)
        silent = 0.0 if process.is_local() else _server_now(leases) - path.stat().st_mtime
        return Owner(process, str(saved["worker"]), silent)
    except (DataError, FileNotFoundError, KeyError):
        return None


def _server_now(leases: Path) -> float:
    """The time as the file server has it: clocks of two hosts may differ by more than a heartbeat."""
    probe = leases / f".now-{uuid.uuid4().hex}"
    probe.touch()
    now = probe.stat().st_mtime
    probe.unlink(missing_ok=True)
    return now


def _clear(leases: Path, mine: int) -> None:
    for name in os.listdir(leases):
        if name.isdigit() and int(name) < mine:
            shutil.rmtree(leases / name, ignore_errors=True)


def _busy(folder: Path, present: Owner | None) -> BusyError:
    by = str(present) if present else "another process"
    return BusyError(f"{folder} is being written by {by}", "wait for it, or stop it, and run the same command again")
