"""Macro AUROC over two numeric axes as a heat map, every cell with its number and interval."""

from __future__ import annotations

import math
from typing import Any

from analysis.plots.base import (
    AUROC,
    INK,
    MUTED,
    Drawn,
    footer,
    interval_text,
    new_figure,
    numeric_axes,
    sample_text,
    title_of,
)
from analysis.summary import Row, Summary


def draw(summary: Summary) -> Drawn | None:
    """A heat map of the first two numeric axes, the one with fewer values upwards; None with fewer than two."""
    axes = numeric_axes(summary)
    if len(axes) < 2:
        return None
    down, across = sorted(list(axes)[:2], key=lambda key: len(axes[key]))
    xs, ys = sorted(axes[across]), sorted(axes[down])
    rows = {
        (float(row.cell.values[across]), float(row.cell.values[down])): row
        for row in summary.rows
        if across in row.cell.values and down in row.cell.values
    }
    figure, panels = new_figure(1.9 + 0.92 * len(xs), 1.5 + 0.62 * len(ys))
    panel = panels[0][0]
    key = summary.main.key
    means = {place: row.entries[key].estimate.mean for place, row in rows.items()}
    grid = [[means.get((x, y), math.nan) for x in xs] for y in ys]
    image = panel.imshow(grid, origin="lower", aspect="auto", cmap="cividis")
    for i, y in enumerate(ys):
        for j, x in enumerate(xs):
            _write(panel, image, j, i, rows.get((x, y)), summary)
    panel.set_xticks(range(len(xs)), [f"{x:g}" for x in xs])
    panel.set_yticks(range(len(ys)), [f"{y:g}" for y in ys])
    panel.set_xlabel(title_of(across))
    panel.set_ylabel(title_of(down))
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=panel, pad=0.02, aspect=14)
    bar.set_label(f"{AUROC}, {summary.main.title} of labels")
    bar.outline.set_visible(False)
    signs = "framed: best; ≈: the paired difference to the best has 0 in its interval"
    footer(figure, f"{sample_text(summary)}\n{interval_text(summary)} in brackets; {signs}")
    caption = f"{AUROC} at {summary.main.title} of labels over {title_of(across).lower()} and {title_of(down).lower()}"
    return Drawn("heatmap", figure, f"{caption}; {signs}. {sample_text(summary)}; {interval_text(summary)}.")


def _write(panel: Any, image: Any, x: int, y: int, row: Row | None, summary: Summary) -> None:
    from matplotlib.patches import Rectangle

    entry = row.entries[summary.main.key] if row else None
    if entry is None or entry.is_empty:
        panel.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fc="#F2F2F2", ec="#BBBBBB", hatch="////", lw=0))
        panel.text(x, y, "hole", ha="center", va="center", fontsize=7, color=MUTED)
        return
    light = sum(image.cmap(image.norm(entry.estimate.mean))[:3]) / 3 > 0.5
    tone = INK if light else "white"
    tie = " ≈" if entry.mark == "tie" else ""
    missing = f"\n{entry.found} of {entry.declared} seeds" if entry.is_hole else ""
    panel.text(x, y + 0.14, f"{entry.estimate.mean:.3f}{tie}", ha="center", va="center", fontsize=8.5, color=tone)
    interval = f"[{entry.estimate.low:.3f}, {entry.estimate.high:.3f}]{missing}"
    panel.text(x, y - 0.2, interval, ha="center", va="center", fontsize=5.8, color=tone)
    if entry.mark == "best":
        panel.add_patch(Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, fill=False, ec="#D55E00", lw=2.2))
