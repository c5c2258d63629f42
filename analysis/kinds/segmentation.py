"""Segmentation of findings by decoders on frozen patch tokens: Dice and IoU."""

from __future__ import annotations

from analysis.kinds.base import KindColumn, KindTable, kind_rows, resampled_rows, unit_means
from analysis.summary import Summary
from core.evaluation.written import SEGMENTATION

COLUMNS = (
    KindColumn("dice_linear", "Dice, linear"),
    KindColumn("iou_linear", "IoU, linear"),
    KindColumn("dice_conv", "Dice, convolutional"),
    KindColumn("iou_conv", "IoU, convolutional"),
)


def table(summary: Summary) -> KindTable | None:
    """A row per row of the main table with a segmentation; None where none has."""
    resampled = resampled_rows(summary, SEGMENTATION, unit_means)
    columns = tuple(column for column in COLUMNS if column.key in resampled)
    if not columns:
        return None
    notes = ("mean over the test films that show a finding, then over findings; frozen encoder, decoders trained",)
    return KindTable("segmentation", "Segmentation", columns, kind_rows(summary, columns, resampled), notes)
