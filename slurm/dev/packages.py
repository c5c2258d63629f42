"""Debian's packages that a cluster needs."""

from __future__ import annotations

import os
import shutil
import subprocess

from core.errors import UserError
from slurm.dev.shell import PATH

# program -> package. Of MariaDB only the core packages: no init script, no service user, nothing started.
SLURM = {"munged": "munge", "slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client"}
DATABASE = {"slurmdbd": "slurmdbd", "mariadbd": "mariadb-server-core", "mariadb": "mariadb-client-core"}


def missing(accounting: str) -> list[str]:
    """Packages that are not installed yet."""
    wanted = SLURM | (DATABASE if accounting == "dbd" else {})
    return [package for program, package in wanted.items() if not shutil.which(program, path=PATH)]


def install(accounting: str) -> list[str]:
    """Install what is missing and return its names. Raises UserError if that cannot be done here."""
    packages = missing(accounting)
    if not packages:
        return []
    command = f"apt-get install --no-install-recommends {' '.join(packages)}"
    if not shutil.which("apt-get"):
        raise UserError(
            "SLURM is not installed, and there is no apt-get to install it", f"needed: {', '.join(packages)}"
        )
    if os.geteuid() != 0:
        raise UserError("SLURM is not installed, and only root can install it", f"as root: {command}")
    # The lists of packages of a new machine are missing or old; fetching them costs, so it is not the first thing.
    if not _apt("install", packages):
        _apt("update", [])
        if not _apt("install", packages):
            raise UserError("the packages of SLURM could not be installed", f"see what says: {command}")
    return packages


def _apt(verb: str, packages: list[str]) -> bool:
    options = ["-qq", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", *options, verb, *packages]
    return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL).returncode == 0
