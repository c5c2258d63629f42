"""Weakly supervised localisation: saliency maps against boxes."""

from __future__ import annotations

from analysis.kinds.base import KindColumn, KindTable, kind_rows, resampled_rows, unit_means
from analysis.summary import Summary
from core.evaluation.written import LOCALISATION

COLUMNS = (
    KindColumn("pointing_gradient", "Pointing, gradient"),
    KindColumn("iou_gradient", "IoU, gradient"),
    KindColumn("pointing_attention", "Pointing, attention"),
    KindColumn("iou_attention", "IoU, attention"),
    KindColumn("chance", "Chance", best=False),
)


def table(summary: Summary) -> KindTable | None:
    """A row per row of the main table with a localisation; None where none has."""
    resampled = resampled_rows(summary, LOCALISATION, unit_means)
    columns = tuple(column for column in COLUMNS if column.key in resampled)
    if not columns:
        return None
    notes = (
        "mean over the test films with a box of a finding, then over findings; no box was seen in training",
        "chance: the boxes' share of the film, what a random point and a map of the whole film would get",
    )
    return KindTable("localisation", "Localisation", columns, kind_rows(summary, columns, resampled), notes)
