"""Which process is this, and is that one still alive? Safe against reused process ids and against zombies."""

from __future__ import annotations

import functools
import os
import platform
import signal
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class ProcessId:
    """A process for all time: the host (with its boot and pid namespace), the pid, and when it started."""

    host: str
    pid: int
    started: str

    @classmethod
    def mine(cls) -> ProcessId:
        """This process."""
        return cls(host_id(), os.getpid(), start_of(os.getpid()))

    @classmethod
    def parse(cls, plain: dict[str, Any]) -> ProcessId:
        """From `plain()`; raises KeyError for anything else."""
        return cls(str(plain["host"]), int(plain["pid"]), str(plain["started"]))

    def plain(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def is_local(self) -> bool:
        """Whether it runs where we can look at it."""
        return self.host == host_id()

    def is_alive(self) -> bool:
        """Whether a local process still runs. Meaningless for one elsewhere."""
        return self.started != "" and start_of(self.pid) == self.started


@functools.cache
def host_id() -> str:
    """Host name, boot and pid namespace: two containers on one host do not see each other's pids."""
    parts = [platform.node()]
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.exists():
        parts.append(boot.read_text()[:8])
    if namespace.is_symlink():
        parts.append(str(namespace.readlink()).strip("pid:[]"))
    return "/".join(parts)


def start_of(pid: int) -> str:
    """When a process started, in its system's own unit; "" when there is no such process or it is a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        return _start_by_psutil(pid)
    try:
        # the name, in brackets, may hold spaces; after it: state is field 0, start time field 19
        rest = stat.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if rest[0] in "ZX" else rest[19]


def _start_by_psutil(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.0f}"
    except psutil.NoSuchProcess:
        return ""


def die_with(other: ProcessId) -> None:
    """Kill this process as soon as `other` is gone, so that no orphan goes on writing. Returns at once."""

    def watch() -> None:
        while other.is_alive():
            time.sleep(POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="die-with", daemon=True).start()
