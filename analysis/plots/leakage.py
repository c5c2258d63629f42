"""Site leakage against the target metric: a dot per row, the upper left is where one wants to be."""

from __future__ import annotations

from analysis.kinds.leakage import table
from analysis.plots.base import (
    AUROC,
    MUTED,
    Drawn,
    colour,
    footer,
    interval_text,
    new_figure,
    plain_axes,
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
    figure, panels = new_figure(4.6, 3.2)
    panel = panels[0][0]
    for row in found.rows:
        site, target = row.estimates["site_accuracy"], row.estimates.get("macro_auroc")
        if target is None:
            continue
        tone = colour(cells[row.row].cell)
        panel.plot([site.low, site.high], [target.mean] * 2, color=tone, lw=1.2, alpha=0.6)
        panel.plot([site.mean] * 2, [target.low, target.high], color=tone, lw=1.2, alpha=0.6)
        panel.plot([site.mean], [target.mean], "o", ms=5, color=tone, mec="white", mew=0.8)
        panel.annotate(row_title(cells[row.row]), (site.mean, target.mean), (4, 4), textcoords="offset points",
                       fontsize=6.5, color=MUTED)  # fmt: skip
    panel.set_xlabel("Accuracy of a linear probe of the site")
    panel.set_ylabel(f"{AUROC}, {summary.main.title} of labels")
    plain_axes(panel, "both")
    small = f"{sample_text(summary)}; bars: {interval_text(summary)}"
    footer(figure, small)
    caption = "What features tell of the findings against what they tell of the site; the upper left is better"
    return Drawn("leakage", figure, f"{caption}. {small}.")
