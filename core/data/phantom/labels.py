"""What a report says about a study: CheXpert's 14 labels as 1, 0, -1 (uncertain) or blank (not mentioned)."""

from __future__ import annotations

import numpy as np

from core.data.phantom.findings import Case
from core.data.types import CHEXPERT_LABELS

# A report that describes these calls them opacities too (CheXpert's hierarchy; Irvin et al. 2019, figure 1).
OPACITIES = ("Consolidation", "Pneumonia")


def present(cases: list[Case]) -> dict[str, float]:
    """Severity of every label that is truly present, with what it implies."""
    found = {case.finding: case.severity for case in cases}
    implied = [found[name] for name in OPACITIES if name in found]
    if implied and "Lung Opacity" not in found:
        found["Lung Opacity"] = max(implied)
    return found


def report(cases: list[Case], uncertain: float, blank: float, rng: np.random.Generator) -> dict[str, float]:
    """Labels of one study in CHEXPERT_LABELS' order: 1, 0, -1, NaN.

    A positive is hedged in proportion to how mild it is, an absent finding rarely, so that a share of about `uncertain`
    of mentioned labels is -1; `blank` of the absent ones are not mentioned. No Finding is 1 only where nothing
    but support devices is positive or uncertain, and 0 elsewhere.
    """
    found = present(cases)
    draws = rng.random((len(CHEXPERT_LABELS), 2))
    labels: dict[str, float] = {}
    for (hedge, omit), name in zip(draws, CHEXPERT_LABELS, strict=True):
        severity = found.get(name)
        doubt = uncertain if severity is None else min(4 * uncertain * (1 - severity), 1.0)
        if name == "Support Devices":
            doubt = 0.0
        if severity is None and omit < blank:
            labels[name] = float("nan")
        elif hedge < doubt * (0.5 if severity is None else 1.0):
            labels[name] = -1.0
        else:
            labels[name] = 0.0 if severity is None else 1.0
    sick = any(labels[n] in (1.0, -1.0) for n in CHEXPERT_LABELS if n not in ("No Finding", "Support Devices"))
    labels["No Finding"] = 0.0 if sick else 1.0
    return labels
