"""A real SLURM cluster for the tests in this folder, made by slurm/devcluster and gone when they are done."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from core.errors import UserError
from slurm.dev import packages, processes, shell
from slurm.dev.spec import Spec, load
from tests.conftest import CHECKOUT

# Not pytest's own folder for temporary files: its path is too long for sockets.
FOLDERS = Path(tempfile.gettempdir())
PREFIX = f"devcluster-test-{os.getuid()}-"


class Job(NamedTuple):
    """A job, or one element of an array, as squeue shows it."""

    state: str
    reason: str
    node: str
    partition: str


@dataclasses.dataclass(frozen=True)
class DevCluster:
    """A running cluster. Whoever starts `env` as a process's environment talks to it."""

    folder: Path

    @property
    def spec(self) -> Spec:
        """Its size and its ports."""
        spec = load(self.folder)
        assert spec is not None
        return spec

    @property
    def env(self) -> dict[str, str]:
        """Variables for a process that is to use the cluster."""
        return shell.environment(self.spec)

    def run(self, *argv: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command that uses the cluster, whether it succeeds or not."""
        return shell.run(self.spec, *argv, seconds=seconds)

    def output(self, *argv: str) -> str:
        """What a command that must succeed prints."""
        result = self.run(*argv)
        assert result.returncode == 0, f"{argv}: {result.stderr}"
        return result.stdout.strip()

    def sbatch(self, script: str, *options: str) -> str:
        """Submit a shell script of one line and return the job's number."""
        printed = f"--output={self.folder}/log/job-%j.out"
        return self.output("sbatch", "--parsable", printed, *options, f"--wrap={script}")

    def squeue(self) -> dict[str, Job]:
        """Every job that slurmctld remembers, by "number" or "number_element"; finished ones too."""
        lines = self.output("squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r|%N|%P").splitlines()
        return {job: Job(*rest) for job, *rest in (line.split("|") for line in lines)}

    def state(self, job: str) -> str:
        """PENDING, RUNNING, COMPLETED, ..."""
        return self.squeue()[job].state

    def show(self, job: str) -> dict[str, str]:
        """The fields of `scontrol show job`."""
        fields = self.output("scontrol", "show", "job", job).split()
        return dict(field.split("=", 1) for field in fields if "=" in field)

    def devcluster(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a verb of slurm/devcluster on this cluster, whether it succeeds or not."""
        return devcluster(verb, *arguments, f"--folder={self.folder}")

    def kill(self, *daemon: str) -> None:
        """kill("slurmctld", "-9") or kill("slurmd", "n2"): end a daemon, and wait until it is gone."""
        succeed(self.devcluster("kill", *daemon))

    def start(self, *daemon: str) -> None:
        """start("slurmd", "n2"): start a daemon."""
        succeed(self.devcluster("start", *daemon))

    def wait_until(self, predicate: Callable[[], bool], seconds: float = 30) -> None:
        """Wait for what must come true; if it does not, the test fails and shows the queue."""
        if not shell.wait_until(predicate, seconds):
            seen = self.run("squeue", "--states=all").stdout + self.run("sinfo", "--Node", "--long").stdout
            pytest.fail(f"still not so after {seconds} s:\n{seen}")

    def settle(self) -> None:
        """Cancel every job, start the daemons that a test has killed, and put nodes back to work."""
        succeed(self.devcluster("up"))
        active = self.output("squeue", "--noheader", "--format=%A").split()
        if active:
            self.output("scancel", *active)
            # a busy machine takes its time to see off what was cancelled
            self.wait_until(lambda: not self.output("squeue", "--noheader"), 90)


def devcluster(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run slurm/devcluster, whether it succeeds or not."""
    command = [str(CHECKOUT / "slurm" / "devcluster"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=200)


def succeed(result: subprocess.CompletedProcess[str]) -> None:
    """Hold that a command succeeded."""
    assert result.returncode == 0, f"{result.args}: {result.stdout}{result.stderr}"


@contextlib.contextmanager
def launched(name: str, *options: str, accounting: str = "none") -> Iterator[DevCluster]:
    """A cluster of its own for the time of a `with`; the test is skipped where SLURM cannot be had.

    `name` tells the clusters of one test process apart; `options` are flags of `devcluster up`.
    """
    try:
        packages.install(accounting)
    except UserError as error:
        pytest.skip(f"no SLURM: {error.what}")
    folder = FOLDERS / f"{PREFIX}{os.getpid()}-{name}"
    try:
        succeed(devcluster("up", f"--folder={folder}", f"--accounting={accounting}", *options))
        yield DevCluster(folder)
    finally:
        succeed(devcluster("down", "--clean", f"--folder={folder}"))


def _remove_stale() -> None:
    """Take down what an earlier run left that was killed before it could."""
    for folder in FOLDERS.glob(f"{PREFIX}*"):
        owner = int(folder.name.removeprefix(PREFIX).split("-")[0])
        if owner == os.getpid() or processes.find(owner) is None:
            devcluster("down", "--clean", f"--folder={folder}")


@pytest.fixture(scope="session")
def cluster() -> Iterator[DevCluster]:
    """The cluster that the tests share: nodes n1 to n3 with 2 CPUs, 4000 MB and 2 pretended GPUs each."""
    _remove_stale()
    with launched("shared", "--gpus=2") as running:
        yield running


@pytest.fixture(autouse=True)
def _as_found(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test finds the shared cluster whole and idle."""
    yield
    if "cluster" in request.fixturenames:
        request.getfixturevalue("cluster").settle()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder. They are run after all others; each process that runs some has its own cluster."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slurm)
