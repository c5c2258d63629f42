"""The command line of slurm/devcluster."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from core.errors import UserError
from slurm.dev import cluster, daemons, hosts, packages, shell
from slurm.dev.spec import ACCOUNTING, Spec, default_folder, load

USER_ERROR = 2
ABOUT = """A throw-away SLURM cluster on this machine, for tests. Its partitions: main (the default; urgent sends its
jobs back to the queue, after 10 s of grace), gpu (the same, with --gpus), short (one minute, no grace), urgent."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code; what the user can mend is one message on stderr, and 2."""
    arguments = _parser().parse_args(argv)
    arguments.folder = arguments.folder.resolve()
    try:
        return int(arguments.verb(arguments))
    except UserError as error:
        print(f"devcluster: {error}", file=sys.stderr)
        return USER_ERROR


def install(arguments: argparse.Namespace) -> int:
    """Install the Debian packages that are missing."""
    installed = packages.install(arguments.accounting or Spec.accounting)
    print(f"installed: {' '.join(installed)}" if installed else "SLURM is installed")
    return 0


def up(arguments: argparse.Namespace) -> int:
    """Start the cluster, or what is missing of it, and wait until every node can take jobs."""
    began = time.monotonic()
    fields = {f.name for f in dataclasses.fields(Spec)} - {"folder"}
    asked = {k: v for k, v in vars(arguments).items() if k in fields and v is not None}
    spec = cluster.up(arguments.folder, asked)
    print(f"ready after {time.monotonic() - began:.1f} s, on ports {spec.ports.start}-{spec.ports.stop - 1}")
    if not hosts.named(arguments.folder):
        print(f"the names of the nodes do not resolve: this user may not write {hosts.HOSTS}")
    print(shell.output(spec, "sinfo"), end="")
    print(f"to use it:  . {arguments.folder}/env.sh")
    return 0


def down(arguments: argparse.Namespace) -> int:
    """End the jobs and the daemons of this cluster, and what they left behind."""
    arguments.ending(arguments.folder)
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Say which daemons run; 0 if all do, 1 if not."""
    spec = load(arguments.folder)
    if spec is None:
        print(f"no cluster in {arguments.folder}")
        return 1
    pids = {daemon.title: daemon.pid() for daemon in daemons.all_of(spec)}
    for title, pid in pids.items():
        print(f"{title:12} {f'runs ({pid})' if pid else 'does not run'}")
    if pids["munged"] and pids["slurmctld"]:
        print(shell.output(spec, "sinfo"), end="")
    return 0 if all(pids.values()) else 1


def kill(arguments: argparse.Namespace) -> int:
    """Send a signal to a daemon and wait until it is gone."""
    spec = _existing(arguments.folder)
    for daemon in daemons.chosen(spec, arguments.program, arguments.node):
        daemon.kill(arguments.signal)
    return 0


def start(arguments: argparse.Namespace) -> int:
    """Start a daemon unless it runs."""
    spec = _existing(arguments.folder)
    for daemon in daemons.chosen(spec, arguments.program, arguments.node):
        daemon.start()
    return 0


def _existing(folder: Path) -> Spec:
    spec = load(folder)
    if spec is None:
        raise UserError(f"no cluster in {folder}", "devcluster up")
    return spec


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--folder", type=Path, default=default_folder(), help="where the cluster lives (%(default)s)")
    accounting = argparse.ArgumentParser(add_help=False)
    accounting.add_argument("--accounting", choices=ACCOUNTING, help="dbd: slurmdbd on MariaDB; none: no sacct (none)")
    parser = argparse.ArgumentParser("devcluster", description=ABOUT)
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def add(verb: str, action: object, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        line = str(action.__doc__).rstrip(".")
        made = verbs.add_parser(verb, help=line, description=line, parents=[common, *parents])
        made.set_defaults(verb=action)
        return made

    add("install", install, accounting)
    _add_sizes(add("up", up, accounting))
    ending = add("down", down)
    ending.set_defaults(ending=cluster.down)
    remove = {"action": "store_const", "const": cluster.clean, "help": "remove its folder too"}
    ending.add_argument("--clean", dest="ending", **remove)  # type: ignore[arg-type]
    add("status", status)
    killing = add("kill", kill)
    _add_daemon(killing)
    killing.add_argument("-9", dest="signal", action="store_const", const=signal.SIGKILL, default=signal.SIGTERM)
    _add_daemon(add("start", start))
    return parser


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    """Flags of Spec's fields. None means: as the folder's cluster has it, or else Spec's default."""
    lines = {
        "nodes": "virtual nodes n1, n2, ...",
        "cpus": "CPUs that each node claims",
        "memory": "MB that each node claims",
        "gpus": "pretended GPUs of each node",
        "max-array-size": "MaxArraySize of slurm.conf",
    }
    for flag, line in lines.items():
        parser.add_argument(f"--{flag}", type=int, help=f"{line} ({getattr(Spec, flag.replace('-', '_'))})")
    parser.add_argument("--port", type=int, help="first of a range of ports (one that is free)")


def _add_daemon(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("program", help="munged, slurmctld, slurmd, slurmdbd or mariadbd")
    parser.add_argument("node", nargs="?", default="", help="which slurmd (all of them)")
