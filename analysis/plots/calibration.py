"""Reliability diagram: how often what a probe calls likely is there, a line per row, all labels pooled."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.calibration import Reliability, macro_error, reliability
from analysis.comparisons import seed_scores
from analysis.plots.base import MUTED, Drawn, footer, new_figure, plain_axes, row_colours, row_title, sample_text
from analysis.resample import Doubles, Scores
from analysis.summary import Row, Summary

COLUMNS = 4
# A bin with fewer predictions than this is noise.
FEWEST = 20


def draw(summary: Summary) -> Drawn | None:
    """A panel per row with results; a dot per bin, its area by how many predictions are in it."""
    rows = [row for row in summary.rows if summary.main.key in row.resamples]
    if not rows:
        return None
    across = min(COLUMNS, len(rows))
    down = -(-len(rows) // across)
    figure, panels = new_figure(0.4 + 1.75 * across, 0.6 + 1.95 * down, down, across, sharex=True, sharey=True)
    places = list(panels.flat)
    for panel, row, tone in zip(places, rows, row_colours(rows), strict=False):
        _draw_row(panel, row, summary, tone)
    for panel in places[len(rows) :]:
        panel.set_visible(False)
    for panel in panels[:, 0]:
        panel.set_ylabel("Share positive")
    small = f"all labels pooled, 10 bins, those of fewer than {FEWEST} left out; ECE: mean over labels"
    footer(figure, f"predicted probability across; {sample_text(summary)}; {small}")
    caption = f"Reliability at {summary.main.title} of labels; on the diagonal a probability is what it says"
    return Drawn("calibration", figure, f"{caption}. {sample_text(summary)}; {small}.")


def _draw_row(panel: Any, row: Row, summary: Summary, tone: str) -> None:
    studies = summary.collected.studies
    assert studies is not None
    scores = seed_scores(summary, row, row.resamples[summary.main.key].seeds)
    pooled = pooled_reliability(studies.truth, scores)
    shown = pooled.count >= FEWEST
    panel.plot([0, 1], [0, 1], color=MUTED, lw=0.7, ls=(0, (1, 2)))
    panel.plot(pooled.predicted[shown], pooled.observed[shown], color=tone, lw=1.2)
    area = 6 + 60 * pooled.count[shown] / pooled.count.sum()
    panel.scatter(
        pooled.predicted[shown], pooled.observed[shown], s=area, color=tone, edgecolor="white", lw=0.6, zorder=3
    )
    panel.set_title(row_title(row), fontsize=7.5)
    error = macro_error(studies.truth, scores)
    panel.text(0.05, 0.93, f"ECE {error:.3f}", transform=panel.transAxes, fontsize=7, color=MUTED, va="top")
    panel.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    plain_axes(panel, "both")


def pooled_reliability(truth: Doubles, scores: Scores) -> Reliability:
    """Bins of all labels and draws together. truth: [S, L], scores: [D, S, L]."""
    return reliability(np.tile(truth.ravel(), len(scores)), np.concatenate([draw.ravel() for draw in scores]))
