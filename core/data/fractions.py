"""Label fractions: nested subsets of patients whose labels a probe or a supervised baseline may see."""

from __future__ import annotations

import math

import numpy as np

from core.data.labels import UNKNOWN
from core.data.store import StudyTable
from core.data.types import Bools
from core.errors import check_range


def label_subset(table: StudyTable, fraction: float, draw: int) -> Bools:
    """Which studies' labels may be used at a label fraction.

    fraction: share in (0, 1] of the patients of whom somebody has looked for a label (of all where nobody has). draw:
    which random order of the patients; one draw's subsets are nested (those of 1 % lie within those of 10 %).
    Returns [S] bool. At least one patient is always chosen. All studies of a patient go together.
    """
    check_range("label_fraction", fraction, 0.0, 1.0, open_low=True)
    looked = (table.labels != UNKNOWN).any(axis=1)
    patients = np.unique(table.patient_ids[looked] if looked.any() else table.patient_ids)
    order = np.random.default_rng([0x1ABE1, draw]).permutation(len(patients))
    # The tiny slack keeps 0.1 * 70 = 7.000000000000001 from becoming 8.
    count = max(1, math.ceil(fraction * len(patients) - 1e-9))
    return np.isin(table.patient_ids, patients[order[:count]])
