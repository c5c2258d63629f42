"""Commands that run as part of a cluster."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable

from core.errors import UserError
from slurm.dev.spec import Spec

# An ordinary user's PATH often lacks the folders of the daemons.
PATH = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
OF_ANOTHER_CLUSTER = ("SLURM", "SBATCH", "SRUN", "SALLOC", "SQUEUE", "SINFO", "SCANCEL")


def environment(spec: Spec) -> dict[str, str]:
    """This process's variables, less those of any other cluster or job, and with those of `spec`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(OF_ANOTHER_CLUSTER)}
    return kept | {"SLURM_CONF": str(spec.conf), "PATH": PATH}


def run(spec: Spec, *command: str, seconds: float = 30) -> subprocess.CompletedProcess[str]:
    """Run `command`; one that is not done after `seconds` counts as failed (124)."""
    try:
        return subprocess.run(
            command, env=environment(spec), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"still busy after {seconds} s")


def output(spec: Spec, *command: str) -> str:
    """Run `command` and return what it prints. Raises UserError with its complaint if it fails."""
    result = run(spec, *command)
    if result.returncode:
        raise UserError(f"{' '.join(command)} failed ({result.returncode}): {result.stderr.strip()}")
    return result.stdout


def launch(spec: Spec, *command: str) -> None:
    """Run `command`, which leaves a daemon behind: it gets none of our streams, or a pipe to us would never end."""
    log = spec.folder / "log" / "start.log"
    with log.open("ab") as sink:
        code = subprocess.run(
            command, env=environment(spec), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
        ).returncode
    if code:
        raise UserError(f"{' '.join(command)} failed ({code})", f"its last words:\n{tail(spec, 'start.log')}")


def tail(spec: Spec, name: str, lines: int = 8) -> str:
    """The last lines of a log of the cluster."""
    log = spec.folder / "log" / name
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


def wait_until(predicate: Callable[[], bool], seconds: float, pause: float = 0.1) -> bool:
    """Ask `predicate` until it holds; False if it does not within `seconds`."""
    limit = time.monotonic() + seconds
    while not predicate():
        if time.monotonic() >= limit:
            return False
        time.sleep(pause)
    return True
