"""Per-label heat map: the AUROC of every label in every row, each with its number."""

from __future__ import annotations

import math

from analysis.plots.base import INK, MUTED, Drawn, footer, new_figure, row_title, sample_text
from analysis.summary import Summary
from analysis.tables import label_rows

MOST_ROWS = 24


def draw(summary: Summary) -> Drawn | None:
    """Labels downwards with their prevalence, rows across; None without results or with one label only."""
    studies = summary.collected.studies
    rows = [row for row in label_rows(summary, MOST_ROWS) if row.label_resamples]
    if studies is None or not rows or len(studies.labels) < 2:
        return None
    grid = [[row.labels[label].estimate.mean for row in rows] for label in studies.labels]
    known = [value for line in grid for value in line if math.isfinite(value)]
    if not known:
        return None
    figure, panels = new_figure(2.6 + 0.42 * len(rows), 1.9 + 0.24 * len(grid))
    panel = panels[0][0]
    image = panel.imshow(grid, aspect="auto", cmap="cividis", vmin=min(known), vmax=max(known))
    light = image.cmap(image.norm(grid))[..., :3].mean(axis=-1) > 0.5
    for y, line in enumerate(grid):
        for x, value in enumerate(line):
            tone = MUTED if not math.isfinite(value) else INK if light[y, x] else "white"
            text = f"{value:.2f}".removeprefix("0") if math.isfinite(value) else "–"  # noqa: RUF001
            panel.text(x, y, text, ha="center", va="center", fontsize=6.5, color=tone)
    counts = [studies.counts(place) for place in range(len(studies.labels))]
    shares = [
        f"{label} ({positive / known:.0%})" if known else label for label, (known, positive) in _named(summary, counts)
    ]
    panel.set_yticks(range(len(grid)), shares)
    panel.set_xticks(range(len(rows)), [row_title(row) for row in rows], rotation=40, ha="right")
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=panel, pad=0.02, aspect=18)
    bar.set_label(f"AUROC, {summary.main.title} of labels")
    bar.outline.set_visible(False)
    left_out = len(summary.rows) - len(rows)
    note = f"{sample_text(summary)}; in brackets: share positive" + (f"; {left_out} rows left out" if left_out else "")
    footer(figure, note)
    return Drawn("labels", figure, f"AUROC per label at {summary.main.title} of labels, means over seeds. {note}.")


def _named(summary: Summary, counts: list[tuple[int, int]]) -> list[tuple[str, tuple[int, int]]]:
    assert summary.collected.studies is not None
    return list(zip(summary.collected.studies.labels, counts, strict=True))
