"""A whole cluster: up, down, and what runs."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.errors import UserError
from slurm.dev import conf, daemons, hosts, packages, ports, processes, shell
from slurm.dev.spec import Spec, load, new_job_id, save

USABLE = {"idle", "mix", "alloc", "comp", "plnd", "resv"}
MENDABLE = ("drain", "drng", "down", "fail")


def up(folder: Path, asked: Mapping[str, Any]) -> Spec:
    """Bring the cluster in `folder` up: what already runs is kept, what is missing is started.

    `asked` holds the fields of Spec that the user chose; others stay as they were. Raises UserError when the
    cluster runs with other choices, when packages cannot be installed, and when a daemon does not start.
    """
    # Before anything is written: choices that cannot be are refused.
    _wanted(folder, asked)
    with _alone(folder):
        spec = _settled(folder, asked)
        packages.install(spec.accounting)
        hosts.add(spec.node_names, folder)
        for daemon in daemons.all_of(spec):
            daemon.start()
        if not shell.wait_until(lambda: _nodes_usable(spec), 60):
            states = shell.run(spec, "sinfo", "--Node", "--long").stdout
            raise UserError("not every node can take jobs", f"{states}\n{shell.tail(spec, 'slurmctld.log')}")
        return spec


def down(folder: Path) -> None:
    """End the jobs, the daemons, and every process that they left behind; the state of the cluster stays."""
    spec = load(folder)
    if spec is None:
        return
    with _alone(folder):
        _end_jobs(spec)
        # From the clients to what they talk to, but all slurmds at once.
        order = list(reversed(daemons.all_of(spec)))
        _end([d for d in order if d.program == "slurmd"])
        for daemon in order:
            _end([daemon])
        processes.end(leftovers(spec), 1)
        hosts.remove(folder)


def clean(folder: Path) -> None:
    """`down`, and remove the folder. One that holds no cluster is left alone."""
    if load(folder) is not None:
        down(folder)
        shutil.rmtree(folder)


def leftovers(spec: Spec) -> set[int]:
    """Processes of this cluster: its daemons and jobs, and all below them. Never this process or one above it.

    They are known by the SLURM_CONF that they were started with; a user's shell has that too, but is neither.
    """
    everything = processes.everything()
    roots = [p.pid for p in everything if _belongs(p, spec)]
    return processes.descendants(roots, everything) - processes.ancestors(os.getpid())


def _belongs(process: processes.Process, spec: Spec) -> bool:
    if not daemons.of_cluster(process.pid, spec):
        return False
    is_daemon = process.name.startswith(("slurm", "munged", "mariadbd"))
    return is_daemon or "SLURM_JOB_ID" in processes.environment(process.pid)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that two calls do not start the same daemon."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:

        def taken() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        if not shell.wait_until(taken, 120):
            raise UserError(f"another devcluster command holds {folder}/lock", "wait for it, or end it")
        yield


def _wanted(folder: Path, asked: Mapping[str, Any]) -> Spec:
    return dataclasses.replace(load(folder) or Spec(folder), **asked)


def _settled(folder: Path, asked: Mapping[str, Any]) -> Spec:
    """The cluster as it is to run, with its files written."""
    known, wanted = load(folder), _wanted(folder, asked)
    if known and any(d.pid() for d in daemons.all_of(known)):
        if wanted != known:
            changed = ", ".join(f"{k}={getattr(known, k)}" for k, v in asked.items() if v != getattr(known, k))
            raise UserError(f"the cluster in {folder} runs with {changed}", f"devcluster down --folder {folder}")
        return known
    spec = ports.with_ports(dataclasses.replace(wanted, port=asked.get("port", 0)))
    if not spec.first_job_id:
        spec = dataclasses.replace(spec, first_job_id=new_job_id())
    save(spec)
    conf.write(spec)
    return spec


def _nodes_usable(spec: Spec) -> bool:
    """Whether every node can take jobs; one that was drained or went down is put back."""
    result = shell.run(spec, "sinfo", "--noheader", "--Node", "--format=%N %t")
    states = dict(line.split() for line in result.stdout.splitlines())
    for node, state in states.items():
        if state.startswith(MENDABLE):
            shell.run(spec, "scontrol", "update", f"nodename={node}", "state=resume")
    return set(states) == set(spec.node_names) and set(states.values()) <= USABLE


def _end_jobs(spec: Spec) -> None:
    """Cancel every job while slurmctld can still do so; otherwise they would come back with the cluster."""
    if any(d.pid() is None for d in daemons.all_of(spec) if d.program in ("munged", "slurmctld")):
        return

    def jobs() -> list[str]:
        return shell.run(spec, "squeue", "--noheader", "--format=%A").stdout.split()

    if waiting := jobs():
        shell.run(spec, "scancel", *sorted(set(waiting)))
        shell.wait_until(lambda: not jobs(), 10)


def _end(group: list[daemons.Daemon]) -> None:
    processes.end([pid for d in group if (pid := d.pid())], 10)
    for daemon in group:
        daemon.pid_file.unlink(missing_ok=True)
