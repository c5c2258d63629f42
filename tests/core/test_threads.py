"""Products of matrices must not hang on how many threads a machine allows."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import CHECKOUT

PRODUCT = """
import hashlib, sys
import numpy as np
from core.threads import one_thread
limits = one_thread()
x = np.random.default_rng(0).normal(size=(400, 3000)).astype(np.float32)
print(hashlib.sha256((x @ x.T @ x).tobytes() + (x @ x[0]).tobytes()).hexdigest())
"""


def test_the_same_sums_whatever_the_environment_says() -> None:
    found = [
        subprocess.run(
            [sys.executable, "-c", PRODUCT],
            env={**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    ]
    assert found[0] == found[1]
