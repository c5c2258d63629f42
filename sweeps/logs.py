"""A task's log, on a disk that may be full."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from core.errors import disk_full

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Log(io.FileIO):
    """An open file descriptor to print to: what finds no room is lost.

    The task itself waits for room and goes on; a line of its log must not be what ends it.
    """

    def write(self, data: ReadableBuffer, /) -> int:
        """Write bytes; returns how many are dealt with."""
        try:
            return super().write(data)
        except OSError as error:
            if not disk_full(error):
                raise
            return memoryview(data).nbytes


def print_to_logs() -> None:
    """Let this process print to a `Log` in place of its standard output and standard error."""
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            io.BufferedWriter(Log(number, "a", closefd=False)), "utf-8", "backslashreplace", line_buffering=True
        )
        for number in (1, 2)
    )
