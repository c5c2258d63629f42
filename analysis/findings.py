"""All that a report says of an ablation beyond its main table, computed once from its summary."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.calibration import macro_error
from analysis.claims import Verdict, judge
from analysis.collect import MetricName
from analysis.comparisons import (
    Comparison,
    LabelComparison,
    compare,
    compare_labels,
    row_aggregates,
    seed_scores,
)
from analysis.efficiency import Efficiency, efficiency
from analysis.kinds.base import KindTable, tables
from analysis.published import Published, read_published
from analysis.statistics import Estimate
from analysis.subgroups import GroupResult, subgroup_results
from analysis.summary import Row, Summary

VIEWS = ("frontal", "lateral")


@dataclass(frozen=True)
class Quality:
    """A row at the main label fraction, means over seeds and labels. views: macro AUROC of single views."""

    row: str
    interquartile: Estimate
    ap: float
    brier: float
    calibration_error: float
    views: Mapping[str, float]


@dataclass(frozen=True)
class Findings:
    """What is said of one ablation. kinds: the tables of evaluations that have one of their own."""

    verdicts: tuple[Verdict, ...]
    comparisons: tuple[Comparison, ...]
    label_comparisons: tuple[LabelComparison, ...]
    quality: tuple[Quality, ...]
    efficiency: tuple[Efficiency, ...]
    subgroups: tuple[GroupResult, ...]
    published: tuple[Published, ...]
    kinds: tuple[KindTable, ...] = ()


def find(summary: Summary, root: Path) -> Findings:
    """Everything that is said of an ablation. root: where the data set's study table may lie."""
    name = summary.collected.plan.ablation
    return Findings(
        verdicts=tuple(judge(summary)),
        comparisons=tuple(compare(summary)),
        label_comparisons=tuple(compare_labels(summary)),
        quality=tuple(quality(summary)),
        efficiency=tuple(efficiency(summary)),
        subgroups=tuple(subgroup_results(summary, root)),
        published=tuple(entry for entry in read_published() if entry.ablation == name),
        kinds=tuple(tables(summary)),
    )


def quality(summary: Summary) -> list[Quality]:
    """Aggregates, average precision and calibration of every row that has results."""
    aggregates = row_aggregates(summary)
    return [_quality(row, summary, aggregates[row.cell.name]) for row in summary.rows if row.cell.name in aggregates]


def _quality(row: Row, summary: Summary, interquartile: Estimate) -> Quality:
    collected, fraction = summary.collected, summary.main.fraction
    assert collected.studies is not None
    means = collected.label_means(row.cell, fraction)
    scores = seed_scores(summary, row, row.resamples[summary.main.key].seeds)
    views = {view: _view(row, summary, view) for view in VIEWS}
    return Quality(
        row=row.cell.name,
        interquartile=interquartile,
        ap=_mean([value for (metric, _), value in means.items() if metric == "ap"]),
        brier=_mean([value for (metric, _), value in means.items() if metric == "brier"]),
        calibration_error=macro_error(collected.studies.truth, scores),
        views={view: value for view, value in views.items() if math.isfinite(value)},
    )


def _view(row: Row, summary: Summary, view: str) -> float:
    trials = row.cell.trials_at(summary.main.fraction)
    values = summary.collected.values(trials, MetricName(row.cell.evaluation, "macro_auroc", view))
    return _mean(list(values.values()))


def _mean(values: list[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan
