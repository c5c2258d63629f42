"""The main figure: the methods compared at every label fraction, and the pairing strategies beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from analysis.plots.base import (
    AUROC,
    Drawn,
    colour,
    footer,
    interval_text,
    new_figure,
    plain_axes,
    row_title,
    sample_text,
)
from analysis.plots.strip import draw_panel
from analysis.summary import Summary


def draw(methods: Summary, beside: Summary | None = None) -> Drawn:
    """Left: every row of `methods`, a marker per label fraction. Right: the strip plot of `beside`, if any."""
    count = max(len(methods.rows), len(beside.rows) + len(beside.references) if beside else 0)
    figure, panels = new_figure(7.4 if beside else 4.2, 1.2 + 0.25 * count, 1, 2 if beside else 1)
    draw_methods(panels[0][0], methods)
    panels[0][0].set_title("Methods, by share of labels")
    if beside:
        draw_panel(panels[0][1], [*beside.rows, *beside.references], beside.main)
        panels[0][1].locator_params(axis="x", nbins=5)
        panels[0][1].set_title(f"{beside.collected.plan.title}, {beside.main.title} of labels")
    footer(figure, f"{sample_text(methods)}; bars: {interval_text(methods)}; small dots: single seeds")
    right = f" Right: {beside.collected.plan.title.lower()}, small dots are single seeds." if beside else ""
    caption = f"{AUROC} of frozen encoders on the test split. Left: methods at each label fraction.{right}"
    return Drawn("main", figure, f"{caption} {sample_text(methods)}; bars: {interval_text(methods)}.")


def draw_methods(panel: Any, summary: Summary) -> None:
    """A line per row, best first, and on it a marker per label fraction: the more labels, the fuller."""
    key = summary.main.key
    rows = sorted(summary.rows, key=lambda r: -m if math.isfinite(m := r.entries[key].estimate.mean) else math.inf)
    for place, row in enumerate(rows):
        for step, column in enumerate(summary.fractions):
            _marker(panel, place, row.entries[column.key], colour(row.cell), step / max(1, len(summary.fractions) - 1))
    top = {column.title: row.entries[column.key].estimate.mean for row in rows[:1] for column in summary.fractions}
    low, high = panel.get_xlim()
    for title, mean in spread({t: m for t, m in top.items() if math.isfinite(m)}, 0.11 * (high - low)).items():
        panel.text(mean, -0.62, title, ha="center", va="bottom", fontsize=6.5)
    panel.set_yticks(range(len(rows)), [row_title(row) for row in rows])
    panel.set_ylim(len(rows) - 0.5, -1.15)
    panel.set_xlabel(AUROC)
    plain_axes(panel, "x")
    panel.locator_params(axis="x", nbins=5)
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)


def spread(wanted: Mapping[str, float], least: float) -> dict[str, float]:
    """Places for titles, near where they are wanted, in that order, and at least `least` apart."""
    placed: dict[str, float] = {}
    for title, place in sorted(wanted.items(), key=lambda item: item[1]):
        placed[title] = max([place, *(other + least for other in placed.values())])
    moved = sum(placed[title] - wanted[title] for title in placed) / max(1, len(placed))
    return {title: place - moved for title, place in placed.items()}


def _marker(panel: Any, place: int, entry: Any, tone: str, fullness: float) -> None:
    if entry.is_empty:
        return
    alpha = 0.35 + 0.65 * fullness
    panel.plot([entry.estimate.low, entry.estimate.high], [place] * 2, color=tone, lw=2.2, alpha=alpha)
    panel.plot([entry.estimate.mean], [place], marker="D", ms=4.8, color=tone, mec="white", mew=0.8)
    if fullness < 1:
        panel.plot([entry.estimate.mean], [place], marker="D", ms=4.8, mfc="white", mec=tone, mew=1.0, alpha=1)
