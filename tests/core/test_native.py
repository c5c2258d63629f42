"""Compiled loops: where their machine code cannot be kept."""

from __future__ import annotations

import subprocess
import sys

NOWHERE = """
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []
import numpy as np
from core.data.compiled import extremes
print(extremes(np.arange(6, dtype=np.uint16).reshape(2, 3)))
"""


def test_where_no_machine_code_can_be_kept_it_is_compiled_anew() -> None:
    found = subprocess.run([sys.executable, "-c", NOWHERE], capture_output=True, text=True, check=True)
    assert found.stdout == "(0, 5)\n"
