"""Site leakage against the target metric: a dot per row, the upper left is where one wants to be."""

from __future__ import annotations

from analysis.kinds.leakage import table
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


def draw(summary: Summary) -> Drawn | None:
    """Site accuracy across, macro AUROC of the labels up, both with intervals; None where no row has a site probe."""
    found = table(summary)
    if found is None:
        return None
    cells = {row.cell.name: row for row in summary.rows}
    shown = [row for row in found.rows if "macro_auroc" in row.estimates]
    tones = row_colours([cells[row.row] for row in shown])
    labels = []
    figure, panels = new_figure(4.6, 3.2)
    panel = panels[0][0]
    for row, tone in zip(shown, tones, strict=True):
        site, target = row.estimates["site_accuracy"], row.estimates["macro_auroc"]
        panel.plot([site.low, site.high], [target.mean] * 2, color=tone, lw=1.2, alpha=0.6)
        panel.plot([site.mean] * 2, [target.low, target.high], color=tone, lw=1.2, alpha=0.6)
        panel.plot([site.mean], [target.mean], "o", ms=5, color=tone, mec="white", mew=0.8)
        labels.append((target.mean, row_title(cells[row.row]), tone))
    panel.set_xlabel("Accuracy of a linear probe of the site")
    panel.set_ylabel(f"{AUROC}, {summary.main.title} of labels")
    plain_axes(panel, "both")
    label_right(panel, labels)
    small = f"{sample_text(summary)}; bars: {interval_text(summary)}"
    footer(figure, small)
    caption = "What features tell of the findings against what they tell of the site; the upper left is better"
    return Drawn("leakage", figure, f"{caption}. {small}.")
