"""Scores of single films as one table, so that later statistics need no re-run, and their means as metrics."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from core.evaluation.base import Metric
from core.evaluation.metrics import macro

# A row per film, label and metric. value: what is averaged, over films within a label and then over labels.
UNITS = ("metric", "label", "study_id", "patient_id", "value")


def unit_metrics(evaluation: str, units: pd.DataFrame) -> list[Metric]:
    """The mean of each metric over the films of each label, and without a label the mean over labels."""
    return [
        found for metric, rows in units.groupby("metric", sort=False) for found in _means(evaluation, str(metric), rows)
    ]


def _means(evaluation: str, metric: str, rows: pd.DataFrame) -> Iterator[Metric]:
    values = []
    for label, part in rows.groupby("label", sort=True):
        values.append(float(part["value"].mean()))
        yield Metric(evaluation, metric, values[-1], len(part), label=str(label), n_positive=len(part))
    value, defined = macro(values)
    yield Metric(evaluation, metric, value, defined)
