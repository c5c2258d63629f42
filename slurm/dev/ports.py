"""A range of free ports for each cluster."""

from __future__ import annotations

import dataclasses
import errno
import socket
import zlib
from collections.abc import Iterable

from core.errors import UserError
from slurm.dev.spec import MOST_NODES, Spec

# Below 32768, where Linux begins to hand out ports by itself.
FIRST, LAST = 10_240, 32_704
BLOCK = MOST_NODES + 4


def free(ports: Iterable[int]) -> bool:
    """Whether nobody listens on any of `ports`."""
    return all(_free(port) for port in ports)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        # As the daemons do: connections of the past that linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
            probe.listen()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def with_ports(spec: Spec) -> Spec:
    """`spec` with the ports it asked for, or with free ones when it asked for none.

    The search starts where the folder's name points, so that two clusters that start at once do not take the same.
    """
    if spec.port:
        if free(spec.ports):
            return spec
        raise UserError(f"a port of {spec.ports.start}-{spec.ports.stop - 1} is taken", "leave --port out")
    bases = range(FIRST, LAST - BLOCK, BLOCK)
    start = zlib.crc32(str(spec.folder).encode()) % len(bases)
    for base in [*bases[start:], *bases[:start]]:
        candidate = dataclasses.replace(spec, port=base)
        if free(candidate.ports):
            return candidate
    raise UserError(f"no {len(spec.ports)} free ports in a row between {FIRST} and {LAST}")
