"""Cells against baselines, a line each: every seed as a point, the mean with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from analysis.plots.base import (
    AUROC,
    MUTED,
    RULE,
    Drawn,
    colour,
    footer,
    interval_text,
    new_figure,
    plain_axes,
    row_title,
    sample_text,
    title_of,
)
from analysis.summary import Column, Row, Summary


def draw(summary: Summary) -> Drawn | None:
    """A panel per label fraction; None without rows."""
    if not summary.rows:
        return None
    columns = summary.fractions
    rows = [*summary.rows, *summary.references]
    figure, panels = new_figure(1.7 + 1.85 * len(columns), 1.1 + 0.24 * len(rows), 1, len(columns), sharey=True)
    for panel, column in zip(panels[0], columns, strict=True):
        draw_panel(panel, rows, column)
        panel.set_title(f"{column.title} of labels")
    axes = " and ".join(title_of(key).lower() for key in summary.collected.plan.axes) or "method"
    footer(figure, f"{sample_text(summary)}; bars: {interval_text(summary)}; small dots: single seeds")
    caption = f"{AUROC} by {axes} against the baselines. Small dots are single seeds, bars {interval_text(summary)}"
    return Drawn("strip", figure, f"{caption}; {sample_text(summary)}.")


def draw_panel(panel: Any, rows: Sequence[Row], column: Column) -> None:
    """One panel: rows from top to bottom, a rule where the baselines begin, a thin line at the best mean."""
    for place, row in enumerate(rows):
        _draw_row(panel, place, row, column)
    means = [row.entries[column.key].estimate.mean for row in rows]
    known = [mean for mean in means if math.isfinite(mean)]
    if known:
        panel.axvline(max(known), color=MUTED, lw=0.7, ls=(0, (1, 2)), zorder=0)
    for place in range(1, len(rows)):
        if rows[place].cell.role != rows[place - 1].cell.role:
            panel.axhline(place - 0.5, color="#AAAAAA", lw=0.7)
    panel.set_yticks(range(len(rows)), [row_title(row) for row in rows])
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.set_xlabel(AUROC)
    plain_axes(panel, "x")
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)


def _draw_row(panel: Any, place: int, row: Row, column: Column) -> None:
    entry, tone = row.entries[column.key], colour(row.cell)
    if entry.is_empty:
        if entry.is_hole:
            panel.axhspan(place - 0.4, place + 0.4, fc="#F5F5F5", ec=RULE, hatch="////", lw=0)
            panel.text(0.5, place, "hole", transform=panel.get_yaxis_transform(), ha="center", va="center", color=MUTED)
        return
    seeds = row.resamples[column.key].values[0]
    panel.plot(seeds, [place + 0.24] * len(seeds), ls="", marker="o", ms=2.6, color=tone, alpha=0.55, mew=0)
    panel.plot([entry.estimate.low, entry.estimate.high], [place] * 2, color=tone, lw=2.2, solid_capstyle="round")
    # An open marker: a seed is missing.
    face, edge = ("white", tone) if entry.is_hole else (tone, "white")
    panel.plot([entry.estimate.mean], [place], marker="D", ms=4.6, mfc=face, mec=edge, mew=0.8)
