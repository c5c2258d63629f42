"""What a cluster consists of: its folder, its size and its ports."""

from __future__ import annotations

import dataclasses
import getpass
import os
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

from core.errors import UserError, check_choice, check_range
from core.io import read_json, write_json

ACCOUNTING = ("none", "dbd")
# A Unix socket's path holds at most 107 characters; the longest here is FOLDER/run/mariadb.socket.
LONGEST_FOLDER = 107 - len("/run/mariadb.socket")
MOST_NODES = 60


@dataclasses.dataclass(frozen=True)
class Spec:
    """One cluster. Sizes are what each node claims to have, whatever the machine has."""

    folder: Path
    nodes: int = 3
    cpus: int = 2
    memory: int = 4000
    gpus: int = 0
    accounting: str = "none"
    max_array_size: int = 1001
    port: int = 0
    first_job_id: int = 0

    def __post_init__(self) -> None:
        if len(str(self.folder)) > LONGEST_FOLDER:
            raise UserError(
                f"--folder {self.folder} is too long for the path of a socket",
                f"choose one of at most {LONGEST_FOLDER} characters",
            )
        check_choice("--accounting", self.accounting, ACCOUNTING)
        check_range("--nodes", self.nodes, 1, MOST_NODES)
        check_range("--cpus", self.cpus, 1, 1024)
        check_range("--memory", self.memory, self.cpus, 2**31)
        check_range("--gpus", self.gpus, 0, 64)
        # 0: one that is free is looked for.
        check_range("--port", self.port, 0, 65_535 - MOST_NODES - 4)
        check_range("--max-array-size", self.max_array_size, 2, 4_000_001)

    @property
    def conf(self) -> Path:
        """slurm.conf, which also tells this cluster's processes from those of any other."""
        return self.folder / "etc" / "slurm.conf"

    @property
    def run(self) -> Path:
        """Folder of sockets, pid files and pretended devices."""
        return self.folder / "run"

    @property
    def munge_socket(self) -> Path:
        """Where this cluster's own munged listens."""
        return self.run / "munge.socket"

    @property
    def node_names(self) -> list[str]:
        """n1, n2, ..."""
        return [f"n{i + 1}" for i in range(self.nodes)]

    @property
    def dbd_port(self) -> int:
        """Where slurmdbd listens."""
        return self.port + 1

    @property
    def database_port(self) -> int:
        """Where MariaDB listens."""
        return self.port + 2

    @property
    def node_ports(self) -> range:
        """Where the slurmds listen, n1 first."""
        return range(self.port + 3, self.port + 3 + self.nodes)

    @property
    def ports(self) -> range:
        """Every port that the cluster listens on."""
        return range(self.port, self.node_ports.stop)

    @property
    def user(self) -> str:
        """Who runs everything."""
        return getpass.getuser()

    @property
    def host(self) -> str:
        """This machine's short name."""
        return socket.gethostname().split(".")[0]


def default_folder() -> Path:
    """A folder per user, below the folder for temporary files."""
    return Path(tempfile.gettempdir()) / f"devcluster-{os.getuid()}"


def record(folder: Path) -> Path:
    """The file that says which cluster a folder holds."""
    return folder / "etc" / "cluster.json"


def load(folder: Path) -> Spec | None:
    """The cluster that `folder` holds, or None."""
    path = record(folder)
    return Spec(folder=folder, **read_json(path)) if path.exists() else None


def save(spec: Spec) -> None:
    """Record `spec` in its folder."""
    fields: dict[str, Any] = dataclasses.asdict(spec)
    del fields["folder"]
    write_json(record(spec.folder), fields)


def new_job_id() -> int:
    """A first job number that no earlier cluster used: results kept under job numbers must not be mistaken."""
    return 1000 + int(time.time()) % 60_000_000
