"""Saliency maps over films, with the boxes of the finding where the data set has them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from analysis.plots.base import Drawn, footer, new_figure, row_title
from analysis.plots.files import ranked, row_arrays
from analysis.summary import Summary
from core.data.types import View
from core.evaluation.written import SALIENCY

SHOWN_VIEWS = (View.FRONTAL, View.LATERAL)
MAX_ROWS, MAX_STUDIES = 4, 3
BOX = "#00E5FF"


def draw(summary: Summary) -> Drawn | None:
    """A line per row, the best first, and in it both films of a few studies; None where no trial has maps."""
    shown = [(row, arrays) for row in ranked(summary) if (arrays := row_arrays(summary, row, SALIENCY))][:MAX_ROWS]
    if not shown:
        return None
    across = min(MAX_STUDIES, max(len(np.unique(arrays["study"])) for _, arrays in shown))
    figure, panels = new_figure(0.6 + 2.3 * across, 0.5 + 1.45 * len(shown), len(shown), 2 * across)
    for line, (row, arrays) in zip(panels, shown, strict=True):
        for panel, (study, view) in zip(line, itertools.product(range(across), SHOWN_VIEWS), strict=True):
            draw_film(panel, arrays, study, view)
        line[0].set_ylabel(row_title(row).replace(" ", "\n"), visible=True)
    small = "first seed of each row; red: where the label's logit comes from; boxes: where the finding is"
    footer(figure, small)
    caption = "Saliency maps of test studies for the label that the linear probe is surest of, frontal and lateral film"
    return Drawn("saliency", figure, f"{caption}, best row first; {small}.")


def draw_film(panel: Any, arrays: dict[str, Any], study: int, view: View) -> None:
    """One film of a study under its map; an empty panel where there is no such film."""
    panel.set(xticks=[], yticks=[])
    panel.spines[["left", "bottom"]].set_visible(False)
    found = np.flatnonzero((arrays["study"] == study) & (arrays["view"] == view))
    if not len(found):
        return
    image, heat = arrays["image"][found[0]], arrays["map"][found[0]] / 255.0
    size = len(image)
    panel.imshow(overlay(image, heat), extent=(0, size, size, 0), interpolation="nearest")
    for box in arrays["box"][arrays["box_image"] == found[0]]:
        x0, y0, x1, y1 = box.tolist()
        panel.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=BOX, lw=0.8)
    panel.set(xlim=(0, size), ylim=(size, 0))
    if view is SHOWN_VIEWS[0]:
        panel.set_title(str(arrays["label"][found[0]]), fontsize=6.5)


def overlay(image: Any, heat: Any) -> Any:
    """A grey film [H, W] uint8 with red laid over it by a map [H, W] in [0, 1]: [H, W, 3] in [0, 1]."""
    grey = np.repeat((image / 255.0)[..., None], 3, axis=2)
    red = np.array([1.0, 0.1, 0.0])
    share = 0.6 * heat[..., None]
    return (1 - share) * grey + share * red
