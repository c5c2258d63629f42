"""Predictions per study as one table, so that later statistics need no re-run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from core.data.store import StudyTable
from core.data.types import Floats, Ints

KEYS = ("evaluation", "label_fraction", "draw", "view", "study_id", "patient_id")


def prediction_frame(
    evaluation: str,
    table: StudyTable,
    rows: Ints,
    truth: Floats,
    probability: Floats,
    *,
    label_fraction: float,
    draw: int = 0,
    view: str = "study",
) -> pd.DataFrame:
    """A row per study row in `rows` [R] of which any label is known (all where none is), columns as `Evaluated` says.

    truth: [R, L] 1, 0, NaN under the label policy. probability: [R, L], NaN = no prediction. Studies that nobody has
    labelled would count among those that a table is over, and be drawn by the bootstrap.
    """
    known = ~np.isnan(truth).all(axis=1)
    if known.any():
        rows, truth, probability = rows[known], truth[known], probability[known]
    keys = (evaluation, label_fraction, draw, view, table.study_ids[rows], table.patient_ids[rows])
    columns: dict[str, Any] = dict(zip(KEYS, keys, strict=True))
    for index, label in enumerate(table.label_names):
        columns[f"p:{label}"] = probability[:, index].astype("float32")
        columns[f"y:{label}"] = truth[:, index].astype("float32")
    return pd.DataFrame(columns)


def stack(frames: Sequence[pd.DataFrame]) -> pd.DataFrame | None:
    """All frames below each other, or None when there are none."""
    return pd.concat(frames, ignore_index=True) if frames else None


def packed(frame: pd.DataFrame) -> bytes:
    """A table as the bytes of a Parquet file, the same for the same table."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, engine="pyarrow", index=False, compression="zstd")
    return buffer.getvalue()
