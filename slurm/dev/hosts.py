"""Names of the nodes in /etc/hosts, for programs that meet at an address from `scontrol show hostnames`.

SLURM itself does not need them. The file is written in place: in a container it is a mount, which no rename replaces.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

HOSTS = Path("/etc/hosts")


def add(names: Iterable[str], folder: Path, hosts: Path = HOSTS) -> None:
    """Let `names` mean this machine for the cluster in `folder`, if this user may write the file."""
    _rewrite(folder, [f"127.0.0.1 {' '.join(names)} {_marker(folder)}\n"], hosts)


def remove(folder: Path, hosts: Path = HOSTS) -> None:
    """Take the line of the cluster in `folder` away again."""
    _rewrite(folder, [], hosts)


def named(folder: Path, hosts: Path = HOSTS) -> bool:
    """Whether the file names the nodes of the cluster in `folder`."""
    return any(line.endswith(_marker(folder)) for line in hosts.read_text().splitlines())


def _marker(folder: Path) -> str:
    return f"# devcluster {folder}"


def _rewrite(folder: Path, own: list[str], hosts: Path) -> None:
    if not os.access(hosts, os.W_OK):
        return
    with hosts.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        before = file.readlines()
        others = [line for line in before if not line.rstrip("\n").endswith(_marker(folder))]
        if others and own and not others[-1].endswith("\n"):
            others[-1] += "\n"
        if others + own != before:
            file.seek(0)
            file.writelines(others + own)
            file.truncate()
