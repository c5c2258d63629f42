"""Which process is this, and is that one still alive? Safe against reused process ids and against zombies."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import signal
import threading
import time
from collections.abc import Iterator
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


def kill_tree(pid: int) -> None:
    """Kill a process and all that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in [*parent.children(recursive=True), parent]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@contextlib.contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables for processes started inside the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def only_environment(variables: dict[str, str]) -> Iterator[None]:
    """Give processes started inside the block these environment variables and no others."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C: the launcher alone hears it, and stops them in order."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
