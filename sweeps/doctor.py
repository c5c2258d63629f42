"""What `viewpair doctor` finds, and what it looks at on this machine whatever the launcher."""

from __future__ import annotations

import contextlib
import shutil
import time
import uuid
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from core.io import write_text
from sweeps.folders import runs_folder

OK, WARNING, FAILED = "ok", "warning", "FAILED"
LITTLE_MEMORY, LITTLE_DISK = 1.5 * 2**30, 5 * 2**30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. verdict: OK | WARNING | FAILED. found: what there is. hint: what to do about it."""

    title: str
    verdict: str
    found: str
    hint: str = ""


@dataclass(frozen=True)
class Waiting:
    """What is being waited for, told meanwhile."""

    text: str


Findings = Generator[Finding | Waiting, None, None]


def judge(title: str, fine: bool, found: str, hint: str, otherwise: str = FAILED) -> Finding:
    """A finding that is OK, without its hint, where things are fine."""
    return Finding(title, OK if fine else otherwise, found, "" if fine else hint)


@contextlib.contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """A folder of its own where runs lie. It goes at the end, and with it every parent that was made for it."""
    folder = runs_folder(root.absolute()) / f"doctor-{uuid.uuid4().hex[:8]}"
    made = [parent for parent in folder.parents if not parent.exists()]
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()


def look_at_folder(root: Path) -> Finding:
    """Whether files can be written and renamed under the output folder."""
    title, hint = "output folder", "choose another with paths.root=, or mend its permissions"
    try:
        with scratch(root) as folder:
            write_text(folder / "a", "first")
            write_text(folder / "b", "second")
            (folder / "b").replace(folder / "a")
            renamed = (folder / "a").read_text() == "second"
    except OSError as error:
        return Finding(title, FAILED, f"{root.absolute()}: {error.strerror or error}", hint)
    return judge(title, renamed, f"{root.absolute()}: files can be written and renamed", hint)


def look_at_disk(root: Path) -> Finding:
    """Whether there is room."""
    there = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    hint = "a trial keeps its last checkpoints and its weights: make room, or choose another paths.root="
    return judge("disk", free >= LITTLE_DISK, f"{free / 2**30:.0f} GiB free at {there}", hint, WARNING)


def look_at_memory(processes: int) -> Finding:
    """Whether each process can have some."""
    available = psutil.virtual_memory().available
    found = f"{available / 2**30:.1f} GiB available for {processes} processes"
    return judge("memory", available / processes >= LITTLE_MEMORY, found, "set launcher.processes lower", WARNING)


def look_at_cores(processes: int, threads: int, cores: int) -> Finding:
    """Whether the processes have cores of their own."""
    found = f"{cores} cores for {processes} processes of {threads} threads"
    hint = "processes that share a core slow each other down: set launcher.processes or launcher.threads lower"
    return judge("cores", processes * threads <= cores, found, hint, WARNING)


def look_at_torch(gpus: Sequence[int]) -> Finding:
    """Whether torch sees the GPUs that are wanted, by number."""
    import torch

    count = torch.cuda.device_count()
    names = ", ".join(sorted({torch.cuda.get_device_name(i) for i in range(count)}))
    absent = [gpu for gpu in gpus if not 0 <= gpu < count]
    found = f"torch {torch.__version__} sees {count} GPUs{f' ({names})' if names else ''}"
    missing = f", not launcher.gpus={absent}" if absent else ""
    return judge("torch", not absent, found + missing, "see nvidia-smi and CUDA_VISIBLE_DEVICES")


def server_ahead(folder: Path) -> float:
    """How far the file server's clock is ahead of this host's, s."""
    probe = folder / f".clock-{uuid.uuid4().hex}"
    before = time.time()
    probe.touch()
    after = time.time()
    stamp = probe.stat().st_mtime
    probe.unlink()
    # within the time that asking took, it is level with us
    return 0.0 if before <= stamp <= after else stamp - (before + after) / 2
