"""Training curves: the loss over optimiser steps, a panel per method, since losses of two methods do not compare."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.plots.base import Drawn, colour, footer, new_figure, plain_axes, row_title, shades, title_of
from analysis.summary import Row, Summary
from analysis.tables import label_rows

MAX_ROWS = 6
ACROSS = 4  # panels side by side

Curve = Mapping[int, float]


def draw(summary: Summary) -> Drawn | None:
    """Mean over seeds of the training loss, the range of the seeds as a band; None without telemetry."""
    panels_of: dict[str, list[tuple[Row, list[Curve]]]] = {}
    for row in label_rows(summary, MAX_ROWS):
        curves = row_curves(summary, row)
        if curves:
            panels_of.setdefault(row.cell.method, []).append((row, curves))
    if not panels_of:
        return None
    columns, lines = min(ACROSS, len(panels_of)), math.ceil(len(panels_of) / ACROSS)
    figure, panels = new_figure(max(3.2, 1.95 * columns), 0.4 + 2.1 * lines, lines, columns)
    for panel in panels.flat[len(panels_of) :]:
        panel.set_axis_off()
    for panel, (method, rows) in zip(panels.flat, panels_of.items(), strict=False):
        tones = shades(colour(rows[0][0].cell), len(rows)) if len(rows) > 1 else [colour(rows[0][0].cell)]
        for (row, curves), tone in zip(rows, tones, strict=True):
            steps, mean, low, high = over_seeds(curves)
            panel.fill_between(steps, low, high, color=tone, alpha=0.2, lw=0)
            panel.plot(steps, mean, color=tone, lw=1.4, label=row_title(row))
        panel.set_title(title_of(method))
        panel.set_xlabel("Optimiser step")
        plain_axes(panel)
        if len(rows) > 1:
            # Above the curves: their ends lie too close together for direct labels.
            panel.set_ylim(top=panel.get_ylim()[0] + 1.25 * (panel.get_ylim()[1] - panel.get_ylim()[0]))
            panel.legend(loc="upper right", fontsize=6.5, handlelength=1.4, borderaxespad=0.1, labelspacing=0.3)
    for panel in panels[:, 0]:
        panel.set_ylabel("Training loss")
    n = sum(len(curves) for rows in panels_of.values() for _, curves in rows)
    note = f"n = {n} trials; lines: mean over seeds; bands: range of the seeds; losses of two methods do not compare"
    footer(figure, note)
    return Drawn("training", figure, f"Training loss over optimiser steps; {note}.")


def row_curves(summary: Summary, row: Row) -> list[Curve]:
    """Step -> loss of each of a row's trials at the main label fraction that has telemetry."""
    results = summary.collected.results
    trials = row.cell.trials_at(summary.main.fraction) or row.cell.trials
    folders = [results[t.id].result.folder.parents[1] for t in trials if t.id in results]
    curves = [read_curve(folder / "telemetry.jsonl") for folder in folders]
    return [curve for curve in curves if curve]


def read_curve(path: Path) -> Curve:
    """Step -> loss of a telemetry file. A step logged again after a resume counts as last logged; an absent file,
    or a line cut short by a crash, holds nothing."""
    lines = path.read_text().splitlines() if path.exists() else []
    curve: dict[int, float] = {}
    for line in lines:
        try:
            logged = json.loads(line)
        except json.JSONDecodeError:
            continue
        if logged.get("loss") is not None and math.isfinite(logged["loss"]):
            curve[int(logged["step"])] = float(logged["loss"])
    return dict(sorted(curve.items()))


def over_seeds(curves: Sequence[Curve]) -> tuple[list[int], list[float], list[float], list[float]]:
    """Steps that every curve has, and there the mean, least and greatest loss."""
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    values = [[curve[step] for curve in curves] for step in steps]
    return steps, [sum(v) / len(v) for v in values], [min(v) for v in values], [max(v) for v in values]
