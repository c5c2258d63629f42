"""The page of reconstructions: input, mask and output of both views, for the best cell and a few others."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.plots.base import MUTED, Drawn, footer, new_figure
from analysis.summary import Row, Summary
from core.data.types import View
from core.errors import DataError

FILE = "gallery.npz"
PANELS = ("input", "masked", "output")
SHOWN_VIEWS = (View.FRONTAL, View.LATERAL)
MAX_ROWS, MAX_STUDIES = 4, 2


def draw(summary: Summary) -> Drawn | None:
    """Studies of up to four rows, the best first; None where no trial painted any."""
    shown = [(row, arrays) for row in ranked(summary) if (arrays := row_gallery(summary, row))][:MAX_ROWS]
    if not shown:
        return None
    lines = [(row, arrays, study) for row, arrays in shown for study in both_views(arrays)[:MAX_STUDIES]]
    width = len(SHOWN_VIEWS) * len(PANELS)
    figure, panels = new_figure(1.02 * width + 1.3, 1.02 * len(lines) + 0.6, len(lines), width)
    for panel in panels.flat:
        panel.set_axis_off()
    for place, (row, arrays, study) in enumerate(lines):
        _draw_line(panels[place], arrays, study)
        if place == 0 or lines[place - 1][0] is not row:
            _name(panels[place][0], row, summary)
    for column in range(width):
        view, panel_name = SHOWN_VIEWS[column // len(PANELS)], PANELS[column % len(PANELS)]
        panels[0][column].set_title(f"{view.label}\n{panel_name}", fontsize=7, fontweight="normal", loc="center")
    footer(figure, "first seed of each row; masks are drawn from the trial's seed")
    caption = "Reconstructions of test studies: input, masked input and output of both views, best row first"
    return Drawn("gallery", figure, f"{caption}; first seed of each row.")


def ranked(summary: Summary) -> list[Row]:
    """Rows by their main metric, best first; rows without a number last."""
    means = [row.entries[summary.main.key].estimate.mean for row in summary.rows]
    order = sorted(range(len(means)), key=lambda place: -means[place] if np.isfinite(means[place]) else np.inf)
    return [summary.rows[place] for place in order]


def row_gallery(summary: Summary, row: Row) -> dict[str, Any] | None:
    """The arrays of the row's first seed that has a gallery, or None."""
    for trial in sorted(row.cell.trials, key=lambda t: t.seed):
        loaded = summary.collected.results.get(trial.id)
        if loaded is None or FILE not in loaded.result.files:
            continue
        try:
            with np.load(loaded.result.file(FILE), allow_pickle=False) as saved:
                return {name: saved[name] for name in saved.files}
        except DataError:
            # A damaged picture is no reason to lose the table: another seed's is as good.
            continue
    return None


def both_views(arrays: dict[str, Any]) -> list[int]:
    """Studies of a gallery, those with both views first."""
    views = {int(s): {int(v) for v in arrays["view"][arrays["study"] == s]} for s in np.unique(arrays["study"])}
    return sorted(views, key=lambda study: (not set(SHOWN_VIEWS) <= views[study], study))


def _draw_line(panels: Any, arrays: dict[str, Any], study: int) -> None:
    for place, view in enumerate(SHOWN_VIEWS):
        found = np.flatnonzero((arrays["study"] == study) & (arrays["view"] == view))
        for offset, name in enumerate(PANELS):
            panel = panels[place * len(PANELS) + offset]
            if len(found):
                panel.imshow(arrays[name][found[0]], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            elif offset == 1:
                panel.text(0.5, 0.5, "no such view", ha="center", va="center", fontsize=6.5, color=MUTED)


def _name(panel: Any, row: Row, summary: Summary) -> None:
    entry = row.entries[summary.main.key]
    score = f"\nAUROC {entry.estimate.mean:.3f}" if not entry.is_empty else ""
    name = row.cell.name.replace(" ", "\n")
    panel.text(-0.12, 0.5, f"{name}{score}", transform=panel.transAxes, ha="right", va="center", fontsize=7)
