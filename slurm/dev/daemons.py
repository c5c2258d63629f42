"""The daemons of a cluster: how each is started, known, and ended."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable
from pathlib import Path

from core.errors import UserError, did_you_mean
from slurm.dev import conf, processes, shell
from slurm.dev.spec import Spec


def _nothing() -> None:
    """Most daemons need nothing before they start, nor after."""


@dataclasses.dataclass(frozen=True)
class Daemon:
    """One daemon. `prepare` runs before it starts, `complete` once `answers` is true; both may run again."""

    spec: Spec
    program: str
    command: tuple[str, ...]
    node: str = ""
    prepare: Callable[[], None] = _nothing
    answers: Callable[[], bool] = lambda: True
    complete: Callable[[], None] = _nothing

    @property
    def title(self) -> str:
        """What people call it: "slurmctld", "slurmd n2"."""
        return f"{self.program} {self.node}".strip()

    @property
    def file_stem(self) -> str:
        """What its files are called: "slurmctld", "slurmd.n2"."""
        return f"{self.program}.{self.node}".strip(".")

    @property
    def pid_file(self) -> Path:
        """Where it writes its process number."""
        return self.spec.run / f"{self.file_stem}.pid"

    def pid(self) -> int | None:
        """Its process number if it runs. A number that another process has got since does not count."""
        try:
            process = processes.find(int(self.pid_file.read_text()))
        except (FileNotFoundError, ValueError):
            return None
        ours = process is not None and process.name == self.program and of_cluster(process.pid, self.spec)
        return process.pid if process and ours else None

    def start(self) -> None:
        """Start it unless it runs, and wait until it answers. Raises UserError with the end of its log if not."""
        if self.pid() is None:
            self.pid_file.unlink(missing_ok=True)
            self.prepare()
            shell.launch(self.spec, *self.command)
        if not shell.wait_until(lambda: self.pid() is not None and self.answers(), 60):
            log = self.file_stem + ".log"
            raise UserError(f"{self.title} does not answer", f"the end of its log:\n{shell.tail(self.spec, log)}")
        self.complete()

    def kill(self, number: signal.Signals) -> None:
        """Send it a signal and wait until it is gone. Raises UserError if it does not run, or stays."""
        pid = self.pid()
        if pid is None:
            raise UserError(f"{self.title} does not run in {self.spec.folder}")
        processes.send([pid], number)
        if not processes.gone([pid], 20):
            raise UserError(f"{self.title} ({pid}) outlived {number.name}", "kill it with -9")


def of_cluster(pid: int, spec: Spec) -> bool:
    """Whether `pid` was started for this cluster: a daemon, a job, or a shell that uses it."""
    return processes.environment(pid).get("SLURM_CONF") == str(spec.conf)


def all_of(spec: Spec) -> list[Daemon]:
    """Every daemon of the cluster, in the order in which they start."""
    database = [_mariadb(spec), _slurmdbd(spec)] if spec.accounting == "dbd" else []
    slurmds = [Daemon(spec, "slurmd", ("slurmd", "-N", node), node) for node in spec.node_names]
    slurmctld = Daemon(spec, "slurmctld", ("slurmctld",), answers=_succeeds(spec, "scontrol", "ping"))
    return [_munged(spec), *database, slurmctld, *slurmds]


def chosen(spec: Spec, program: str, node: str) -> list[Daemon]:
    """The daemons called `program`, on `node` alone if one is given. Raises UserError if there is none."""
    everyone = all_of(spec)
    found = [d for d in everyone if d.program == program and node in ("", d.node)]
    if not found:
        title = f"{program} {node}".strip()
        raise UserError(f"this cluster has no daemon {title}", did_you_mean(title, [d.title for d in everyone]))
    return found


def _succeeds(spec: Spec, *command: str) -> Callable[[], bool]:
    return lambda: shell.run(spec, *command).returncode == 0


def _munged(spec: Spec) -> Daemon:
    run, key = spec.run, spec.folder / "etc" / "munge.key"

    def write_key() -> None:
        if not key.exists():
            with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(os.urandom(128))

    command = (
        "munged",
        # Otherwise it refuses a socket below a folder that other users cannot enter.
        "--force",
        f"--socket={spec.munge_socket}",
        f"--key-file={key}",
        f"--pid-file={run}/munged.pid",
        f"--log-file={spec.folder}/log/munged.log",
        f"--seed-file={run}/munged.seed",
    )
    answers = _succeeds(spec, "munge", "--no-input", f"--socket={spec.munge_socket}")
    return Daemon(spec, "munged", command, prepare=write_key, answers=answers)


def _mariadb(spec: Spec) -> Daemon:
    data, socket = f"{spec.folder}/db", f"{spec.run}/mariadb.socket"
    client = ("mariadb", "--no-defaults", f"--socket={socket}", f"--user={spec.user}")
    create = (
        f"create database if not exists {conf.DATABASE};"
        "create user if not exists slurm@'127.0.0.1' identified by 'slurm';"
        f"grant all on {conf.DATABASE}.* to slurm@'127.0.0.1'"
    )

    def create_files() -> None:
        if not Path(data, "mysql").is_dir():
            root = ("--auth-root-authentication-method=socket", f"--auth-root-socket-user={spec.user}")
            common = ("--no-defaults", f"--datadir={data}", f"--user={spec.user}", "--skip-test-db")
            shell.launch(spec, "mariadb-install-db", *common, *root)

    command = (
        *("setsid", "--fork", "mariadbd", "--no-defaults"),
        *(f"--datadir={data}", f"--user={spec.user}", f"--socket={socket}", f"--pid-file={spec.run}/mariadbd.pid"),
        *(f"--log-error={spec.folder}/log/mariadbd.log", "--skip-name-resolve"),
        *("--bind-address=127.0.0.1", f"--port={spec.database_port}"),
        # Small and careless: the data is thrown away.
        *("--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=0"),
        *("--innodb-lock-wait-timeout=900", "--performance-schema=OFF"),
    )
    return Daemon(
        spec,
        "mariadbd",
        command,
        prepare=create_files,
        answers=_succeeds(spec, *client, "--execute=select 1"),
        complete=lambda: shell.launch(spec, *client, f"--execute={create}"),
    )


def _slurmdbd(spec: Spec) -> Daemon:
    listing = ("sacctmgr", "--noheader", "list", "cluster")

    def register() -> None:
        """Jobs that slurmctld sends are refused until the cluster is known."""
        known = shell.output(spec, *listing, "format=cluster").split()
        if conf.CLUSTER not in known:
            shell.launch(spec, "sacctmgr", "--immediate", "add", "cluster", conf.CLUSTER)

    return Daemon(spec, "slurmdbd", ("slurmdbd",), answers=_succeeds(spec, *listing), complete=register)
