"""Label fractions: nested subsets of patients whose labels a probe or a supervised baseline may see."""

from __future__ import annotations

import math

import numpy as np

from core.data.types import Bools, Strings
from core.errors import check_range


def label_subset(patient_ids: Strings, fraction: float, draw: int) -> Bools:
    """Which studies' labels may be used at a label fraction.

    patient_ids: [S] patient of each study. fraction: share of patients in (0, 1]. draw: which random order
    of the patients; one draw's subsets are nested (those of 1 % lie within those of 10 %).
    Returns [S] bool. At least one patient is always chosen. All studies of a patient go together.
    """
    check_range("label_fraction", fraction, 0.0, 1.0, open_low=True)
    patients = np.unique(patient_ids)
    order = np.random.default_rng([0x1ABE1, draw]).permutation(len(patients))
    # The tiny slack keeps 0.1 * 70 = 7.000000000000001 from becoming 8.
    count = max(1, math.ceil(fraction * len(patients) - 1e-9))
    return np.isin(patient_ids, patients[order[:count]])
