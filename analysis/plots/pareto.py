"""Pareto plot: macro AUROC over the device hours of training, the front as a line."""

from __future__ import annotations

import math

from analysis.efficiency import efficiency
from analysis.plots.base import (
    AUROC,
    MUTED,
    Drawn,
    footer,
    interval_text,
    label_right,
    new_figure,
    plain_axes,
    row_colours,
    row_title,
    sample_text,
)
from analysis.summary import Summary

MOST_NAMES = 12


def draw(summary: Summary) -> Drawn | None:
    """A point per row that was trained; None with fewer than two of them."""
    from matplotlib.ticker import LogLocator

    rows = {row.cell.name: row for row in summary.rows}
    found = [e for e in efficiency(summary) if math.isfinite(e.hours) and e.hours > 0]
    if len(found) < 2:
        return None
    figure, panels = new_figure(5.2, 3.3)
    panel = panels[0][0]
    tones = row_colours([rows[e.row] for e in found])
    front = sorted((e.hours, e.auroc.mean) for e in found if e.is_on_front)
    # Where an encoder that was not trained is the best, nothing that was trained is on the front.
    hours, scores = [h for h, _ in front], [score for _, score in front]
    panel.step(hours, scores, where="post", color=MUTED, lw=0.9, ls=(0, (4, 2)), zorder=0)
    # All rows together: drawn one by one, a hundred of them take several times as long.
    spent, means = [e.hours for e in found], [e.auroc.mean for e in found]
    panel.vlines(spent, [e.auroc.low for e in found], [e.auroc.high for e in found], colors=tones, lw=1.2, alpha=0.5)
    faces = [tone if e.is_on_front else "white" for e, tone in zip(found, tones, strict=True)]
    panel.scatter(spent, means, s=5.5**2, c=faces, edgecolors=tones, linewidths=1.2, zorder=3)
    labels = [
        (e.auroc.mean, row_title(rows[e.row]), tone)
        for e, tone in zip(found, tones, strict=True)
        if e.is_on_front or len(found) <= MOST_NAMES
    ]
    panel.set_xscale("log")
    for part in (panel.xaxis.set_major_formatter, panel.xaxis.set_minor_formatter):
        part("{x:.3g}")
    panel.xaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
    panel.set_xlabel("Device hours of training, mean over seeds")
    panel.set_ylabel(f"{AUROC}, {summary.main.title} of labels")
    plain_axes(panel)
    label_right(panel, labels[:MOST_NAMES])
    small = f"{sample_text(summary)}; bars: {interval_text(summary)}; filled and dashed: the Pareto front"
    footer(figure, small)
    return Drawn("pareto", figure, f"{AUROC} over the cost of training. {small}.")
