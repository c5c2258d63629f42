"""Label policies, and AUROC, average precision and Brier score per label and averaged over labels.

The three are written here rather than taken from scikit-learn because an evaluation needs hundreds of them:
these cost some 30 microseconds each against a millisecond, and spare every trial the import. The tests hold
them equal to scikit-learn's, ties included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from core.data.labels import LABEL_POLICIES, UNKNOWN
from core.data.types import Floats
from core.errors import check_choice
from core.evaluation.base import Metric

UNDEFINED = float("nan")


def apply_policy(labels: Floats, policy: str) -> Floats:
    """Labels [S, L] of 1, 0, -1 (uncertain), NaN (not mentioned), UNKNOWN as 1, 0, NaN = ignored, float32.

    zeros: uncertain and missing are 0 (as the code of arXiv 2507.02987). ones: uncertain is 1, missing 0
    (U-Ones, Irvin et al. 2019). ignore: both are left out. UNKNOWN is left out whatever the policy.
    """
    check_choice("label_policy", policy, LABEL_POLICIES)
    uncertain, missing = LABEL_POLICIES[policy]
    known = np.where(np.isnan(labels), missing, np.where(labels == -1, uncertain, labels))
    return np.where(labels == UNKNOWN, np.nan, known).astype(np.float32)


def _curve(truth: Any, score: Any) -> tuple[Any, Any]:
    # True and false positives at every distinct threshold, strictest first: tied scores fall together.
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last_of_tie = np.flatnonzero(np.append(np.diff(ranked) != 0, True))
    true_positives = np.cumsum(truth[order])[last_of_tie]
    return true_positives, last_of_tie + 1 - true_positives


def auroc(truth: Any, score: Any) -> float:
    """Area under the ROC curve (trapezoid, so a tie counts half). truth: [n] 0/1, score: [n].

    NaN when `truth` holds one class only. Source: Fawcett 2006, algorithm 2.
    """
    truth = np.asarray(truth, np.float64)
    positives = truth.sum()
    negatives = len(truth) - positives
    if not positives or not negatives:
        return UNDEFINED
    hits, false_alarms = _curve(truth, np.asarray(score))
    heights = hits + np.append(0.0, hits[:-1])
    return float((np.diff(false_alarms, prepend=0.0) * heights).sum() / (2 * positives * negatives))


def average_precision(truth: Any, score: Any) -> float:
    """Average precision, sum of (R_k - R_{k-1}) P_k over thresholds. truth: [n] 0/1, score: [n].

    NaN when `truth` holds one class only.
    """
    truth = np.asarray(truth, np.float64)
    positives = truth.sum()
    if not positives or positives == len(truth):
        return UNDEFINED
    hits, false_alarms = _curve(truth, np.asarray(score))
    return float((np.diff(hits, prepend=0.0) * hits / (hits + false_alarms)).sum() / positives)


def brier(truth: Any, probability: Any) -> float:
    """Brier score, the mean squared error of a probability. truth: [n] 0/1, probability: [n] in [0, 1].

    NaN when `truth` holds one class only, so that it is averaged over the same labels as the AUROC.
    """
    truth = np.asarray(truth, np.float64)
    if not len(truth) or truth.min() == truth.max():
        return UNDEFINED
    return float(np.mean((np.asarray(probability, np.float64) - truth) ** 2))


MEASURES = {"auroc": auroc, "ap": average_precision, "brier": brier}


def measure_label(truth: Floats, probability: Floats) -> tuple[dict[str, float], int, int]:
    """The three measures of one label, over how many studies, and how many of these are positive.

    truth: [S] 1, 0, NaN = left out. probability: [S]; where it is NaN for any study that counts, there is
    no prediction of this label and every measure is NaN.
    """
    known = ~np.isnan(truth)
    truth, probability = truth[known], probability[known]
    predicted = not np.isnan(probability).any()
    values = {name: f(truth, probability) if predicted else UNDEFINED for name, f in MEASURES.items()}
    return values, len(truth), int(truth.sum())


def label_metrics(
    evaluation: str, labels: Sequence[str], truth: Floats, probability: Floats, **where: Any
) -> list[Metric]:
    """Metrics of every label, then their means over the labels where they are defined.

    truth, probability: [S, L]. `where`: label_fraction, draw, view of `Metric`. A macro's `n` is the number of
    labels that it is over; with none it is NaN.
    """
    found: list[Metric] = []
    per_label: dict[str, list[float]] = {name: [] for name in MEASURES}
    for column, label in enumerate(labels):
        values, n, positives = measure_label(truth[:, column], probability[:, column])
        for name, value in values.items():
            per_label[name].append(value)
            found.append(Metric(evaluation, name, value, n, label, n_positive=positives, **where))
    for name, all_values in per_label.items():
        value, defined = macro(all_values)
        found.append(Metric(evaluation, f"macro_{name}", value, defined, **where))
    return found


def macro_auroc(truth: Floats, probability: Floats) -> float:
    """Mean over labels of the AUROC of what is known and predicted; NaN where no label has one. Both [S, L]."""
    values = []
    for y, p in zip(truth.T, probability.T, strict=True):
        known = ~np.isnan(y) & ~np.isnan(p)
        values.append(auroc(y[known], p[known]))
    return macro(values)[0]


def macro(values: Sequence[float]) -> tuple[float, int]:
    """Mean of the values that are defined, and how many these are (NaN when there are none)."""
    defined = [v for v in values if not math.isnan(v)]
    return (sum(defined) / len(defined) if defined else UNDEFINED), len(defined)
