"""Throughput and efficiency over the number of processes, beside what ideal scaling would give."""

from __future__ import annotations

from typing import Any

from analysis.plots.base import (
    MUTED,
    OTHER_COLOURS,
    Drawn,
    footer,
    new_figure,
    plain_axes,
    repetitions_text,
    value_title,
)
from analysis.speed import EFFICIENCY, RATE, SpeedRow, SpeedSummary

# a line each: strong and weak scaling on one node, on two, ...
Line = tuple[tuple[tuple[str, str], ...], int]


def draw(summary: SpeedSummary) -> Drawn | None:
    """Left: images per second, both axes logarithmic. Right: efficiency. None with one number of processes."""
    known = [row for row in summary.rows if row.found]
    counts = sorted({row.processes for row in known})
    if len(counts) < 2:
        return None
    figure, panels = new_figure(6.6, 2.9, 1, 2)
    rates, efficiencies = panels[0]
    for number, (line, rows) in enumerate(lines_of(known).items()):
        look = {"color": OTHER_COLOURS[number % len(OTHER_COLOURS)], "label": title(line, known)}
        _line(rates, rows, RATE.key, look)
        _line(efficiencies, rows, EFFICIENCY.key, look)
    for row in known:
        if row.processes == 1:
            rate = row.entries[RATE.key].mean
            rates.plot(counts, [n * rate for n in counts], color=MUTED, lw=0.8, ls=(0, (4, 2)), zorder=0)
    efficiencies.axhline(1, color=MUTED, lw=0.8, ls=(0, (4, 2)), zorder=0)
    efficiencies.set_ylim(bottom=0)
    rates.set_xscale("log", base=2)
    rates.set_yscale("log", base=2)
    efficiencies.set_xscale("log", base=2)
    for panel, name in ((rates, "Images per second"), (efficiencies, "Efficiency")):
        _finish(panel, counts, name)
    rates.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    efficiencies.legend(loc="lower left", fontsize=6.5, handlelength=1.4)
    note = f"mean of {repetitions_text(known)}; whiskers: their range; dashed: ideal"
    footer(figure, note)
    what = "Images per second, and efficiency (over n times those of one process), by number of processes"
    return Drawn("scaling", figure, f"{what}; {note}.")


def lines_of(rows: list[SpeedRow]) -> dict[Line, list[SpeedRow]]:
    """The rows of each line, by number of processes; one process, on one node, begins every line of its series."""
    lines: dict[Line, list[SpeedRow]] = {}
    for row in rows:
        lines.setdefault((row.series, row.nodes), []).append(row)
    for (series, nodes), own in lines.items():
        if nodes > 1:
            own += [row for row in rows if row.series == series and row.processes == 1]
        own.sort(key=lambda row: row.processes)
    return lines


def title(line: Line, rows: list[SpeedRow]) -> str:
    """A line in words; nodes where there are several numbers of them."""
    series, nodes = line
    words = [value_title(value) for _, value in series]
    if len({row.nodes for row in rows}) > 1:
        words.append(f"{nodes} node{'s' if nodes > 1 else ''}")
    return ", ".join(words)


def _line(panel: Any, rows: list[SpeedRow], key: str, look: dict[str, Any]) -> None:
    x = [row.processes for row in rows]
    panel.plot(x, [row.entries[key].mean for row in rows], marker="o", ms=3.6, mec="white", mew=0.6, lw=1.6, **look)
    for row in rows:
        entry = row.entries[key]
        panel.plot([row.processes] * 2, [entry.low, entry.high], color=look["color"], lw=1.0, alpha=0.6)


def _finish(panel: Any, counts: list[int], name: str) -> None:
    panel.set_xticks(counts, [str(n) for n in counts])
    panel.minorticks_off()
    panel.set_xlabel("Processes")
    panel.set_ylabel(name)
    plain_axes(panel)
