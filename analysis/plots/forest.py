"""Forest plot: every row's paired difference to the reference, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.comparisons import reference_of
from analysis.plots.base import (
    MUTED,
    Drawn,
    footer,
    interval_text,
    new_figure,
    plain_axes,
    row_colours,
    row_title,
    sample_text,
)
from analysis.statistics import Estimate, differences, estimate
from analysis.summary import Summary
from analysis.tables import label_rows

MOST_ROWS = 40


def draw(summary: Summary) -> Drawn | None:
    """A line per row in the table's order, the number beside it; None without a row to hold against the reference."""
    reference, key = reference_of(summary), summary.main.key
    if reference is None:
        return None
    known = {row.cell.name: row.resamples[key] for row in summary.rows if key in row.resamples}
    apart = differences(known, reference.resamples[key])
    rows = [row for row in label_rows(summary, MOST_ROWS) if row is not reference and row.cell.name in apart]
    if not rows:
        return None
    figure, panels = new_figure(5.8, 1.1 + 0.24 * len(rows))
    panel = panels[0][0]
    _draw_rows(panel, [estimate(apart[row.cell.name], summary.config) for row in rows], row_colours(rows))
    panel.axvline(0, color=MUTED, lw=0.8, zorder=0)
    panel.set_yticks(range(len(rows)), [row_title(row) for row in rows])
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.set_xlabel(f"Macro AUROC minus that of {row_title(reference)}, {summary.main.title} of labels")
    plain_axes(panel, "x")
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    small = f"{sample_text(summary)}; bars: {interval_text(summary)}, not corrected for their number"
    footer(figure, f"{small}; filled: 0 lies outside")
    caption = (
        f"Paired differences of the macro AUROC to {row_title(reference)}, over the same patients and matched seeds"
    )
    return Drawn("forest", figure, f"{caption}; filled: 0 lies outside the interval. {small}.")


def _draw_rows(panel: Any, found: Sequence[Estimate], tones: Sequence[str]) -> None:
    """Intervals and means from top to bottom; together, as a line each takes several times as long to draw."""
    places = range(len(found))
    panel.hlines(places, [e.low for e in found], [e.high for e in found], colors=tones, lw=2.0, capstyle="round")
    faces = ["white" if e.low <= 0 <= e.high else tone for e, tone in zip(found, tones, strict=True)]
    means = [e.mean for e in found]
    panel.scatter(means, places, marker="D", s=4.8**2, c=faces, edgecolors=tones, linewidths=1.0, zorder=3)
    for place, e in enumerate(found):
        text = f"{e.mean:+.3f} [{e.low:+.3f}, {e.high:+.3f}]"
        panel.text(1.02, place, text, transform=panel.get_yaxis_transform(), va="center", fontsize=7)
