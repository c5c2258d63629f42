"""Pools of processes: what they are forked with, and what is said where one of them dies."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from core.errors import DataError
from core.workers import process_pool

FORKED = """
from core.workers import process_pool
if __name__ == "__main__":
    with process_pool(1, "tests", "run again") as pool:
        loaded = pool.submit(eval, "set(__import__('sys').modules)").result()
        print(sorted({"pydicom", "numba", "pandas", "torch"} & loaded))
"""


def test_a_process_that_dies_is_an_error_for_people() -> None:
    with (
        pytest.raises(DataError, match="a process that counts sheep died, perhaps for want of memory") as caught,
        process_pool(1, "counts sheep", "count fewer") as pool,
    ):
        pool.submit(os._exit, 1).result()
    assert "count fewer" in str(caught.value)


def test_processes_are_forked_with_their_libraries_and_no_others() -> None:
    found = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True)
    assert found.stdout == "['numba', 'pydicom']\n"
    assert not found.stderr
