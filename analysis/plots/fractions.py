"""Macro AUROC over the label fraction, a line per method or cell."""

from __future__ import annotations

import math
from typing import Any

from analysis.plots.base import (
    AUROC,
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
from analysis.tables import label_rows


def draw(summary: Summary) -> Drawn | None:
    """Lines of the baselines and of the best cells; None with fewer than two label fractions."""
    columns = summary.fractions
    if len(columns) < 2:
        return None
    figure, panels = new_figure(4.9, 3.3)
    panel = panels[0][0]
    rows = label_rows(summary)
    tones = row_colours(rows)
    mixed = len({row.cell.role for row in rows}) > 1
    labels = []
    for place, row in enumerate(rows):
        tone = tones[place]
        # A small shift keeps the intervals of equal fractions apart, and all of them about their fraction.
        shift = 1 + min(0.07, 0.6 / len(rows)) * (place - (len(rows) - 1) / 2)
        found = [(c.fraction * shift, row.entries[c.key].estimate) for c in columns]
        found = [(x, e) for x, e in found if math.isfinite(e.mean)]
        if not found:
            continue
        x, means = [x for x, _ in found], [e.mean for _, e in found]
        style: Any = (0, (4, 2)) if mixed and row.cell.role == "baseline" else "-"
        panel.vlines(x, [e.low for _, e in found], [e.high for _, e in found], color=tone, lw=1.4, alpha=0.5)
        panel.plot(x, means, color=tone, lw=1.5, ls=style, marker="o", ms=3.8, mec="white", mew=0.6)
        labels.append((found[-1][1].mean, row_title(row), tone))
    panel.set_xscale("log")
    panel.set_xticks([c.fraction for c in columns], [c.title for c in columns], minor=False)
    panel.set_xticks([], minor=True)
    panel.set_xlabel("Share of training patients whose labels are used")
    panel.set_ylabel(AUROC)
    plain_axes(panel)
    label_right(panel, labels)
    left_out = len(summary.rows) - len(rows)
    note = f"; the {left_out} cells below these are in the table" if left_out else ""
    footer(figure, f"{sample_text(summary)}; bars: {interval_text(summary)}{note}")
    lines = "dashed: baselines" if mixed else "a line per row"
    caption = f"{AUROC} over the label fraction; {lines}{note}. {sample_text(summary)}"
    return Drawn("fractions", figure, f"{caption}; bars: {interval_text(summary)}.")
