"""Macro AUROC over a numeric axis, a panel per label fraction, with baselines as horizontal bands."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from analysis.plots.base import (
    AUROC,
    Drawn,
    colour,
    footer,
    interval_text,
    label_right,
    new_figure,
    numeric_axes,
    plain_axes,
    row_colours,
    row_title,
    sample_text,
    shades,
    title_of,
    value_title,
)
from analysis.summary import Column, Row, Summary

Line = tuple[str, str, list[Row]]
MOST_TICKS = 12


def draw(summary: Summary) -> Drawn | None:
    """Curves over the axis with the most values; a line for each combination of the other axes' values."""
    axes = numeric_axes(summary)
    if not axes:
        return None
    key = max(axes, key=lambda k: len(axes[k]))
    values = sorted(axes[key])
    places = dict(zip(values, positions(values), strict=True))
    lines = lines_of(summary, key)
    columns = summary.fractions
    figure, panels = new_figure(2.15 * len(columns) + 1.2, 2.9, 1, len(columns), sharex=True)
    for panel, column in zip(panels[0], columns, strict=True):
        labels = draw_baselines(panel, summary, column)
        labels += [draw_line(panel, line, key, places, column) for line in lines]
        finish(panel, column, key, places)
        if column is columns[-1]:
            label_right(panel, labels)
    panels[0][0].set_ylabel(AUROC)
    footer(figure, f"{sample_text(summary)}; bands: {interval_text(summary)}")
    baselines = "Horizontal lines are the baselines. " if baseline_rows(summary) else ""
    caption = f"{AUROC} over {title_of(key).lower()} at each label fraction. {baselines}"
    return Drawn("curve", figure, f"{caption}{sample_text(summary)}; bands: {interval_text(summary)}.")


def positions(values: Sequence[float]) -> list[float]:
    """Where ascending values stand on the axis: true to scale, or evenly when they span orders of magnitude."""
    gaps = [after - before for before, after in itertools.pairwise(values)]
    if not gaps or max(gaps) <= 8 * min(gaps):
        return list(values)
    return [float(place) for place in range(len(values))]


def lines_of(summary: Summary, key: str) -> list[Line]:
    """(label, colour, rows) of each combination of the values of the other axes."""
    groups: dict[str, list[Row]] = {}
    others = [k for k in summary.collected.plan.axes if k != key]
    for row in summary.rows:
        if key in row.cell.values:
            told = [f"{title_of(k)} {value_title(row.cell.values[k])}" for k in others]
            groups.setdefault(", ".join(told), []).append(row)
    tones = shades(colour(next(iter(groups.values()))[0].cell), len(groups)) if groups else []
    if len(groups) == 1:
        tones = [colour(next(iter(groups.values()))[0].cell)]
    return [
        (name or title_of(rows[0].cell.method), tone, rows)
        for (name, rows), tone in zip(groups.items(), tones, strict=True)
    ]


def draw_line(panel: Any, line: Line, key: str, places: dict[float, float], column: Column) -> tuple[float, str, str]:
    """One curve with its band; returns its label. A cell without a result leaves a gap."""
    name, tone, rows = line
    ordered = sorted(rows, key=lambda row: float(row.cell.values[key]))
    x = [places[float(row.cell.values[key])] for row in ordered]
    found = [row.entries[column.key].estimate for row in ordered]
    panel.fill_between(x, [e.low for e in found], [e.high for e in found], color=tone, alpha=0.14, lw=0)
    panel.plot(x, [e.mean for e in found], color=tone, lw=1.6, marker="o", ms=3.6, mec="white", mew=0.6, zorder=3)
    known = [e.mean for e in found if math.isfinite(e.mean)]
    return (known[-1] if known else math.nan), name, tone


def draw_baselines(panel: Any, summary: Summary, column: Column) -> list[tuple[float, str, str]]:
    """A horizontal line and band for each baseline; returns their labels."""
    labels = []
    rows = baseline_rows(summary)
    for row, tone in zip(rows, row_colours(rows), strict=True):
        value = row.entries[column.key].estimate
        if not math.isfinite(value.mean):
            continue
        panel.axhspan(value.low, value.high, color=tone, alpha=0.08, lw=0)
        panel.axhline(value.mean, color=tone, lw=1.0, ls=(0, (4, 2)))
        labels.append((value.mean, row_title(row), tone))
    return labels


def baseline_rows(summary: Summary) -> list[Row]:
    """The ablation's own baselines, then those of the baselines' ablation."""
    return [row for row in (*summary.rows, *summary.references) if row.cell.role == "baseline"]


def finish(panel: Any, column: Column, key: str, places: dict[float, float]) -> None:
    """Ticks at the axis' values, or at some of many, evenly; title, grid."""
    shown = dict(list(places.items())[:: -(-len(places) // MOST_TICKS)])
    x = list(shown.values())
    span = (max(places.values()) - min(places.values())) or 1.0
    crowded = min((b - a for a, b in itertools.pairwise(x)), default=span) < 0.17 * span
    panel.set_xticks(x, [f"{value:g}" for value in shown], rotation=55 if crowded else 0)
    panel.set_xlim(min(places.values()) - 0.06 * span, max(places.values()) + 0.06 * span)
    panel.set_xlabel(title_of(key))
    panel.set_title(f"{column.title} of labels")
    plain_axes(panel)
