"""What processes that decode films are forked with: loaded once, by the server that they are forked from."""

from __future__ import annotations

import numpy as np

import core.data.dicom
import core.data.packing  # noqa: F401
from core.data.compiled import extremes

# The first call of compiled code sets numba up, which takes longer than to load all modules.
extremes(np.zeros((1, 1), dtype=np.uint8))
