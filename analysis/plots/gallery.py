"""The page of reconstructions: input, mask and output of both views, for the best cell and a few others."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from analysis.plots.base import Drawn, footer, new_figure
from analysis.plots.files import ranked, row_arrays
from analysis.summary import Row, Summary
from core.data.types import View

FILE = "gallery.npz"
PANELS = ("input", "masked", "output")
SHOWN_VIEWS = (View.FRONTAL, View.LATERAL)
MAX_ROWS, MAX_STUDIES = 4, 2


def draw(summary: Summary) -> Drawn | None:
    """Studies of a few rows, the best first; None where no trial painted any."""
    shown = [(row, arrays) for row in ranked(summary) if (arrays := row_arrays(summary, row, FILE))][:MAX_ROWS]
    if not shown:
        return None
    lines = [(row, arrays, study) for row, arrays in shown for study in both_views(arrays)[:MAX_STUDIES]]
    size = int(lines[0][1][PANELS[0]].shape[1])
    gap = max(1, size // 16)
    page = np.concatenate([_padded(strip(arrays, study, gap), gap) for _, arrays, study in lines])
    figure, panels = new_figure(7.4, 5.8 * page.shape[0] / page.shape[1] + 0.8)
    panel = panels[0][0]
    panel.imshow(page, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    panel.set_axis_off()
    for place, (row, _, _) in enumerate(lines):
        if place == 0 or lines[place - 1][0] is not row:
            panel.text(-gap, (place + 0.5) * (size + gap), _name(row, summary), ha="right", va="center", fontsize=7)
    for column, (view, name) in enumerate(itertools.product(SHOWN_VIEWS, PANELS)):
        middle = column * (size + gap) + size / 2 + (2 * gap if view is SHOWN_VIEWS[1] else 0)
        panel.text(middle, -gap, f"{view.label}\n{name}", ha="center", va="bottom", fontsize=7)
    footer(figure, "first seed of each row; masks are drawn from the trial's seed; white: the study has no such view")
    caption = "Reconstructions of test studies: input, masked input and output of both views, best row first"
    return Drawn("gallery", figure, f"{caption}; first seed of each row.")


def strip(arrays: dict[str, Any], study: int, gap: int) -> Any:
    """One study's panels in a line, uint8 [H, W]: three of its frontal film, three of its lateral; white if absent."""
    height, width = arrays[PANELS[0]].shape[1:]
    white = np.full((height, width), 255, np.uint8)
    parts: list[Any] = []
    for view, name in itertools.product(SHOWN_VIEWS, PANELS):
        found = np.flatnonzero((arrays["study"] == study) & (arrays["view"] == view))
        between = 3 * gap if (view, name) == (SHOWN_VIEWS[1], PANELS[0]) else gap
        parts += [white[:, :0] if not parts else np.full((height, between), 255, np.uint8)]
        parts += [arrays[name][found[0]] if len(found) else white]
    return np.concatenate(parts, axis=1)


def _padded(image: Any, gap: int) -> Any:
    return np.pad(image, ((0, gap), (0, 0)), constant_values=255)


def both_views(arrays: dict[str, Any]) -> list[int]:
    """Studies of a gallery, those with both views first."""
    views = {int(s): {int(v) for v in arrays["view"][arrays["study"] == s]} for s in np.unique(arrays["study"])}
    return sorted(views, key=lambda study: (not set(SHOWN_VIEWS) <= views[study], study))


def _name(row: Row, summary: Summary) -> str:
    entry = row.entries[summary.main.key]
    score = "" if entry.is_empty else f"\nAUROC {entry.estimate.mean:.3f}"
    return row.cell.name.replace(" ", "\n") + score
