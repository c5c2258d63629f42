"""Maps of the test films' features, coloured by view, site and a label: what an encoder tells apart first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.plots.base import MUTED, Drawn, footer, new_figure, row_title
from analysis.plots.files import ranked, row_arrays
from analysis.summary import Summary
from core.data.types import View
from core.evaluation.written import EMBEDDING

MAX_ROWS, MAX_SITES = 4, 7
TONES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#882255")
NAMES = {"pca": "PCA", "tsne": "t-SNE"}


def draw(summary: Summary) -> Drawn | None:
    """A line of panels per row and map, the best row first; None where no trial made a map."""
    shown = [(row, arrays) for row in ranked(summary) if (arrays := row_arrays(summary, row, EMBEDDING))][:MAX_ROWS]
    lines = [(row, arrays, name) for row, arrays in shown for name in NAMES if name in arrays]
    if not lines:
        return None
    colourings = [groupings(arrays) for _, arrays, _ in lines]
    titles = list(dict.fromkeys(title for grouping in colourings for title in grouping))
    figure, panels = new_figure(1.2 + 2.2 * len(titles), 0.6 + 2.1 * len(lines), len(lines), len(titles))
    for place, ((row, arrays, name), grouping) in enumerate(zip(lines, colourings, strict=True)):
        panels[place][0].set_ylabel(f"{row_title(row)}\n{NAMES[name]}")
        for panel, title in zip(panels[place], titles, strict=True):
            draw_panel(panel, arrays[name], grouping.get(title, {}))
            panel.set_title(title)
    small = "a dot is a test film; first seed of each row; axes have no unit"
    footer(figure, small)
    caption = f"Maps of frozen features of {len(lines[0][1]['view']):,} test films"
    return Drawn("embedding", figure, f"{caption}, best row first; {small}.")


def groupings(arrays: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Title -> group -> [N] bool, of each way to colour the films; one with a single group tells nothing."""
    view, site = arrays["view"], arrays["site"]
    found = {"View": {View(int(v)).label: view == v for v in np.unique(view)}}
    names = [str(name) for name in np.unique(site) if name][:MAX_SITES]
    found["Site"] = {name: site == name for name in names}
    place = most_even(arrays["truth"])
    if place is not None:
        truth = arrays["truth"][:, place]
        found[str(arrays["labels"][place])] = {"absent": truth == 0, "present": truth == 1}
    return {title: groups for title, groups in found.items() if len(groups) > 1}


def most_even(truth: Any) -> int | None:
    """The label [N, L] of which the share of positives is nearest to one half; None where all have one class."""
    share = np.array(
        [np.mean(column[~np.isnan(column)] == 1) if (~np.isnan(column)).any() else 0 for column in truth.T]
    )
    uneven = np.abs(share - 0.5)
    return int(uneven.argmin()) if len(uneven) and uneven.min() < 0.5 else None


def draw_panel(panel: Any, points: Any, groups: dict[str, Sequence[bool]]) -> None:
    """One map; films of no group are grey."""
    panel.scatter(points[:, 0], points[:, 1], s=2, color="#DDDDDD", lw=0, rasterized=True)
    for tone, (name, chosen) in zip(TONES, groups.items(), strict=False):
        panel.scatter(
            points[chosen, 0], points[chosen, 1], s=4, color=tone, lw=0, alpha=0.8, label=name, rasterized=True
        )
    panel.set(xticks=[], yticks=[])
    if groups:
        panel.legend(loc="upper right", fontsize=5.5, markerscale=2, handletextpad=0.1, labelcolor=MUTED)
