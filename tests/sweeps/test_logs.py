"""Printing where there is no room."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

FULL = Path("/dev/full")  # every write to it finds no room
SPEAK = "import sys; print('one', flush=True); print('two', file=sys.stderr, flush=True)"


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
def test_a_full_disk_ends_a_plain_process_and_not_one_that_prints_to_logs() -> None:
    assert printed_to(FULL, SPEAK) != 0
    assert printed_to(FULL, f"from sweeps.logs import print_to_logs; print_to_logs(); {SPEAK}") == 0


def test_where_there_is_room_everything_is_written(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert printed_to(log, f"from sweeps.logs import print_to_logs; print_to_logs(); {SPEAK}; print('three')") == 0
    assert log.read_text() == "one\ntwo\nthree\n"


def printed_to(path: Path, code: str) -> int:
    with path.open("ab") as handle:
        return subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, stdout=handle, stderr=handle).returncode
