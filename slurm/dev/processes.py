"""Processes, read from /proc.

A zombie counts as gone: where process 1 reaps nobody, a dead daemon would otherwise look alive for ever.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from slurm.dev.shell import wait_until

PROC = Path("/proc")


class Process(NamedTuple):
    """One live process; `name` is cut to 15 characters by the kernel."""

    pid: int
    parent: int
    name: str


def find(pid: int) -> Process | None:
    """The live process `pid`, or None."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    match = re.match(r"\d+ \((.*)\) (\S) (\d+)", text, re.DOTALL)
    if match is None or match[2] in "ZX":
        return None
    return Process(pid, int(match[3]), match[1])


def everything() -> list[Process]:
    """All live processes."""
    found = (find(int(entry.name)) for entry in PROC.iterdir() if entry.name.isdigit())
    return [process for process in found if process]


def environment(pid: int) -> dict[str, str]:
    """The variables that `pid` was started with (empty if it is gone, or another user's)."""
    try:
        text = (PROC / str(pid) / "environ").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return {}
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)


def descendants(roots: Iterable[int], among: Iterable[Process]) -> set[int]:
    """`roots` and every process of `among` below them."""
    children: dict[int, list[int]] = {}
    for process in among:
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting.extend(children.get(pid, []))
    return found


def ancestors(pid: int) -> set[int]:
    """`pid` and every process above it."""
    found: set[int] = set()
    process = find(pid)
    while process:
        found.add(process.pid)
        process = find(process.parent)
    return found


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def gone(pids: Iterable[int], seconds: float) -> bool:
    """Wait until none of `pids` lives; False if one still does after `seconds`."""
    pids = list(pids)
    return wait_until(lambda: not any(map(find, pids)), seconds, pause=0.02)


def end(pids: Iterable[int], seconds: float) -> None:
    """Ask processes to end, and kill those that have not after `seconds`."""
    pids = list(pids)
    send(pids, signal.SIGTERM)
    if not gone(pids, seconds):
        send(pids, signal.SIGKILL)
        gone(pids, 5)
