"""The data card as a folder: Markdown, figures, and a contact sheet of random pairs, beside the shards it describes.

The pictures of patients stay where the data are: nothing of it goes into a report.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.plots.base import Drawn, footer, look, new_figure, plain_axes, save
from core.data.checks import data_card, label_counts, view_counts
from core.data.integrity import Finding, integrity
from core.data.store import StudyTable, open_store
from core.data.types import SPLITS, Bytes, View
from core.io import write_text

FOLDER, FILE = "card", "README.md"
COLOURS = dict(zip(SPLITS, ("#0072B2", "#E69F00", "#009E73"), strict=True))
PAIRS, PAIRS_A_ROW = 20, 5
GREY_SAMPLE = 200


def write_card(folder: Path) -> list[Finding]:
    """Check a built data set and write card/README.md and its figures into its folder; returns what was found.

    The same data set gives the same bytes. Raises DataError.
    """
    found = integrity(folder)
    store = open_store(folder)
    tables = [store.splits[split] for split in SPLITS]
    parts = [data_card(folder, [finding.line() for finding in found])]
    with look():
        for drawn in (draw_labels(tables), draw_films(tables), draw_pairs(store.splits["train"])):
            save(drawn, folder / FOLDER)
            parts.append(f"![{drawn.name}]({drawn.name}.png)\n\n{drawn.caption}\n")
    write_text(folder / FOLDER / FILE, "\n".join(parts))
    return found


def draw_labels(tables: Sequence[StudyTable]) -> Drawn:
    """Bars: the share of each split's studies that is positive for each label."""
    counts = label_counts(tables)
    names = list(dict.fromkeys(counts["label"])) if len(counts) else []
    figure, panels = new_figure(5.6, 1.0 + 0.26 * max(1, len(names)))
    panel = panels[0][0]
    for place, table in enumerate(tables):
        mine = counts[counts["split"] == table.split] if names else counts
        shares = [100 * count / table.n_studies for count in mine["positive"]] if names else []
        panel.barh(
            np.arange(len(names)) + 0.27 * (place - 1), shares, 0.25, color=COLOURS[table.split], label=table.split
        )
    panel.set_yticks(range(len(names)), names)
    panel.invert_yaxis()
    panel.set_xlabel("positive studies, %")
    panel.legend(fontsize=7)
    plain_axes(panel, "x")
    footer(figure, ", ".join(f"{table.split}: {table.n_studies} studies" for table in tables))
    return Drawn("labels", figure, "Share of studies that are positive for each label, by split.")


def draw_films(tables: Sequence[StudyTable]) -> Drawn:
    """Two panels: images by view and split, and how grey the pictures are."""
    figure, panels = new_figure(6.4, 2.4, 1, 2)
    left, right = panels[0]
    counts = view_counts(tables)
    for place, table in enumerate(tables):
        row = counts[counts["split"] == table.split].iloc[0]
        heights = [int(row[view.label]) for view in View]
        left.bar(np.arange(len(View)) + 0.27 * (place - 1), heights, 0.25, color=COLOURS[table.split])
        right.plot(np.arange(256), greys(table), color=COLOURS[table.split], lw=1, label=table.split)
    left.set_xticks(range(len(View)), [view.label for view in View])
    left.set_ylabel("images")
    right.set_xlabel("grey value (0 left out)")
    right.set_ylabel("share of pixels")
    right.set_yticks([])
    right.legend(fontsize=7)
    for panel in (left, right):
        plain_axes(panel, "y")
    footer(figure, f"grey values: up to {GREY_SAMPLE} images of each split")
    return Drawn(
        "films", figure, "Images by view and split; distribution of their grey values, black borders left out."
    )


def greys(table: StudyTable) -> Any:
    """Share of pixels with each grey value [256], 0 left out, over images spread evenly over the table."""
    rows = np.unique(np.linspace(0, table.n_images - 1, min(table.n_images, GREY_SAMPLE)).astype(np.int64))
    counts = np.bincount(table.pixels.read(rows).ravel(), minlength=256)
    counts[0] = 0
    return counts / max(1, counts.sum())


def draw_pairs(table: StudyTable) -> Drawn:
    """The contact sheet: random studies with a frontal and a lateral film, side by side."""
    chosen = random_pairs(table, PAIRS)
    rows = max(1, -(-len(chosen) // PAIRS_A_ROW))
    figure, panels = new_figure(7.4, 0.5 + 0.85 * rows, rows, PAIRS_A_ROW)
    for place, panel in enumerate(panels.ravel()):
        panel.set_axis_off()
        if place < len(chosen):
            panel.imshow(side_by_side(table.pixels.read(chosen[place])), cmap="gray", vmin=0, vmax=255)
    footer(figure, f"{len(chosen)} random studies of {table.split} with both views, drawn with a fixed seed")
    caption = (
        "Pairs of one study: frontal left, lateral right. They should be upright, complete, and bone should be white."
    )
    return Drawn("pairs", figure, caption)


def random_pairs(table: StudyTable, count: int, seed: int = 0) -> list[Any]:
    """Image rows [frontal, lateral] of up to `count` studies that have both, drawn without replacement."""
    starts, ends = table.start[:-1], table.start[1:]
    firsts = []
    for view in (View.FRONTAL, View.LATERAL):
        rows = np.flatnonzero(table.view == view)
        at = np.searchsorted(rows, starts)
        first = np.append(rows, np.iinfo(np.int64).max)[at]
        firsts.append(np.where(first < ends, first, -1))
    both = np.flatnonzero((firsts[0] >= 0) & (firsts[1] >= 0))
    drawn = np.random.default_rng(seed).permutation(both)[:count]
    return [np.array([firsts[0][study], firsts[1][study]]) for study in drawn]


def side_by_side(pictures: Bytes) -> Bytes:
    """Pictures [N, H, W] in a line, a thin white rule between them."""
    height = pictures.shape[1]
    rule = np.full((height, max(1, height // 32)), 255, dtype=np.uint8)
    parts = [part for picture in pictures for part in (rule, picture)][1:]
    return np.concatenate(parts, axis=1)
