"""Performance profiles: the share of labels and seeds that score above a threshold, a line per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.aggregates import performance_profile, resample_runs
from analysis.comparisons import by_label
from analysis.plots.base import (
    Drawn,
    footer,
    interval_text,
    new_figure,
    plain_axes,
    row_colours,
    row_title,
    sample_text,
)
from analysis.summary import Row, Summary

THRESHOLDS = 101


def draw(summary: Summary) -> Drawn | None:
    """One panel; the higher a line, the better the row over all labels, not on average only."""
    rows = [row for row in summary.rows if row.label_resamples]
    if not rows:
        return None
    measured = np.concatenate([by_label(row, summary.config)[0].ravel() for row in rows])
    thresholds = np.linspace(np.floor(measured.min() * 20) / 20, np.ceil(measured.max() * 20) / 20, THRESHOLDS)
    figure, panels = new_figure(5.6, 3.2)
    panel = panels[0][0]
    areas = [
        _draw_row(panel, row, tone, thresholds, summary, alpha=0.5 / max(6, len(rows)))
        for row, tone in zip(rows, row_colours(rows), strict=True)
    ]
    panel.set(xlim=(thresholds[0], thresholds[-1]), ylim=(0, 1.02))
    panel.set_xlabel(f"AUROC of a label, {summary.main.title} of labels")
    panel.set_ylabel("Share of labels and seeds above")
    plain_axes(panel)
    _legend(panel, areas)
    footer(figure, f"{sample_text(summary)}; bands: {interval_text(summary)}")
    caption = "Performance profiles (Agarwal et al. 2021): share of labels and seeds whose AUROC is above a threshold"
    return Drawn("profiles", figure, f"{caption}. {sample_text(summary)}; bands: {interval_text(summary)}.")


def _legend(panel: Any, areas: Sequence[float]) -> None:
    # The best row on top, as its line is.
    handles = panel.get_legend_handles_labels()[0]
    order = sorted(range(len(areas)), key=lambda place: -areas[place])
    panel.legend(handles=[handles[place] for place in order], loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=7)


def _draw_row(panel: Any, row: Row, tone: str, thresholds: Any, summary: Summary, alpha: float) -> float:
    """Draw one line with its band, which is the paler the more there are; returns the mean share, the area below it."""
    shares = performance_profile(resample_runs(by_label(row, summary.config), summary.config), thresholds)
    edge = (1 - summary.config.level) / 2
    low, high = np.quantile(shares[1:], [edge, 1 - edge], axis=0)
    panel.fill_between(thresholds, low, high, color=tone, alpha=alpha, lw=0)
    panel.step(thresholds, shares[0], color=tone, lw=1.5, where="post", label=row_title(row))
    return float(shares[0].mean())
