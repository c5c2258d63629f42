"""Images per second of every cell as bars, with the range of its repetitions."""

from __future__ import annotations

from typing import Any

from analysis.plots.base import (
    MUTED,
    OTHER_COLOURS,
    RULE,
    Drawn,
    footer,
    new_figure,
    plain_axes,
    repetitions_text,
    title_of,
    value_title,
)
from analysis.speed import RATE, SpeedRow, SpeedSummary


def draw(summary: SpeedSummary) -> Drawn | None:
    """A bar per cell, in the plan's order; a colour for each value of the first axis."""
    first = next(iter(summary.collected.plan.axes), "")
    kinds = list(dict.fromkeys(row.cell.values.get(first) for row in summary.rows))
    figure, panels = new_figure(5.4, 0.9 + 0.26 * len(summary.rows))
    panel = panels[0][0]
    for place, row in enumerate(summary.rows):
        _bar(panel, place, row, OTHER_COLOURS[kinds.index(row.cell.values.get(first)) % len(OTHER_COLOURS)])
    panel.set_yticks(range(len(summary.rows)), [label(row) for row in summary.rows])
    panel.set_ylim(len(summary.rows) - 0.5, -0.5)
    panel.set_xlim(left=0)
    panel.set_xlabel("Images per second")
    plain_axes(panel, "x")
    panel.tick_params(axis="y", length=0)
    note = f"bars: mean of {repetitions_text(summary.rows)}; whiskers: their range"
    footer(figure, note)
    return Drawn("throughput", figure, f"Images per second of training; {note}.")


def label(row: SpeedRow) -> str:
    """A cell's values in words."""
    if row.cell.role == "baseline" or not row.cell.values:
        return row.cell.name
    return ", ".join(_value(key, value) for key, value in row.cell.values.items())


def _value(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return title_of(key).lower() if value else f"no {title_of(key).lower()}"
    if isinstance(value, str) and not value[:1].isdigit():
        return value_title(value)
    return f"{title_of(key).lower()} {value_title(value)}"


def _bar(panel: Any, place: int, row: SpeedRow, tone: str) -> None:
    if not row.found:
        panel.axhspan(place - 0.4, place + 0.4, fc="#F5F5F5", ec=RULE, hatch="////", lw=0)
        panel.text(0.5, place, "hole", transform=panel.get_yaxis_transform(), ha="center", va="center", color=MUTED)
        return
    rate = row.entries[RATE.key]
    panel.barh(place, rate.mean, height=0.66, color=tone, alpha=0.85 if row.found == row.declared else 0.4)
    panel.plot([rate.low, rate.high], [place, place], color="#222222", lw=1.2, solid_capstyle="butt")
