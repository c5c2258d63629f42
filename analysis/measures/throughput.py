"""The report of a throughput ablation: a row per cell with what it takes, and its figures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from analysis.collect import Collected
from analysis.page import HTML, HtmlTable, write_article
from analysis.pages import again, bullets, figure_text, hole_line, origin
from analysis.plots import base
from analysis.speed import EFFICIENCY, SpeedColumn, SpeedRow, SpeedSummary, Spread, summarise_speed
from analysis.tables import CONSOLE, LATEX, MARKDOWN, Style, escape_tex, latex, markdown, number, plain, written_csv
from core.io import atomic_path, write_text


def write(collected: Collected, folder: Path) -> str:
    """Write the tables, the figures and the page; returns the table for a terminal."""
    summary = summarise_speed(collected)
    lines = grid(summary, HTML)
    figures = list(base.draw_all(summary, collected.plan.draw, folder))
    name = collected.plan.ablation.replace("_", "-")
    table = f"{markdown(grid(summary, MARKDOWN))}\n{bullets(list(notes(summary)))}"
    caption = " ".join(f"{note[:1].upper()}{note[1:]}." for note in notes(summary))
    write_text(folder / "table.md", table)
    write_text(folder / "table.csv", csv_text(summary))
    caption = escape_tex(f"{collected.plan.title}. {caption}")
    write_text(folder / "table.tex", latex(grid(summary, LATEX), caption, f"tab:{name}"))
    with atomic_path(folder / "results.parquet") as temporary:
        collected.table.to_parquet(temporary, engine="pyarrow", index=False, compression="zstd")
    write_text(folder / "report.md", page(summary, table, figures))
    behind = [[tuple(trial.id for trial in row.cell.trials)] * len(lines[0]) for row in summary.rows]
    tables = [HtmlTable("table", "What a step takes", lines, list(notes(summary)), behind)]
    write_article(collected, tables, figures, list(origin(collected)), folder)
    return console(summary)


def console(summary: SpeedSummary) -> str:
    """The table for a terminal."""
    from tabulate import tabulate

    head, *lines = grid(summary, CONSOLE)
    table = tabulate(lines, headers=head, disable_numparse=True)
    return f"{summary.collected.plan.title}\n\n{table}\n\n{bullets(list(notes(summary)))}"


def grid(summary: SpeedSummary, style: Style) -> list[list[str]]:
    """The table as text: a heading, then a line per cell; axes, columns, repetitions."""
    axes = list(summary.collected.plan.axes)
    heads = [*(axis.rpartition(".")[2].replace("_", " ").capitalize() for axis in axes)] or ["Row"]
    lines = [[style.text(text) for text in (*heads, *(c.title for c in summary.columns), "Repetitions")]]
    for row in summary.rows:
        cells = [entry_text(row, column, style) for column in summary.columns]
        lines.append([*(style.text(text) for text in row_heads(row, axes)), *cells, count_text(row)])
    return lines


def row_heads(row: SpeedRow, axes: list[str]) -> list[str]:
    """A cell's value on each axis; of a baseline its name."""
    if row.cell.role == "baseline" or not axes:
        return [row.cell.name, *[""] * (len(axes) - 1)]
    return [str(row.cell.values.get(axis, "")) for axis in axes]


def entry_text(row: SpeedRow, column: SpeedColumn, style: Style) -> str:
    """One value with the range of its repetitions."""
    entry = row.entries[column.key]
    if not row.found:
        return "hole"
    text = number(entry.mean * column.scale, column.digits) or "–"  # noqa: RUF001
    if column.spread and row.found > 1 and math.isfinite(entry.low):
        low, high = (number(value * column.scale, column.digits) for value in (entry.low, entry.high))
        text += " " + style.interval(f"[{low}, {high}]")
    return text


def count_text(row: SpeedRow) -> str:
    """How many repetitions are there, and of how many where some are missing."""
    return str(row.found) if row.found == row.declared else f"{row.found} of {row.declared}"


def notes(summary: SpeedSummary) -> Iterator[str]:
    """What a reader must know to read the table."""
    steps = sorted({m.n for loaded in summary.collected.results.values() for m in loaded.result.metrics})
    told = " to ".join(str(n) for n in sorted({steps[0], steps[-1]})) if steps else "no"
    yield f"on {devices(summary)}; medians over {told} timed optimiser steps; brackets: range over repetitions"
    yield "communication: seconds a step inside collectives, waiting for other processes and overlaps included"
    yield "waiting for data: mean over steps; memory: the greatest of all processes; first step: with compilation"
    if EFFICIENCY in summary.columns:
        yield "efficiency: images/s over n times those of one process; brackets: of any two repetitions"


def devices(summary: SpeedSummary) -> str:
    """The devices that results were measured on."""
    found = {str(loaded.result.cost.get("device", "unknown")) for loaded in summary.collected.results.values()}
    warning = " (**more than one: rows do not compare**)" if len(found) > 1 else ""
    return (" and ".join(sorted(found)) or "no device") + warning


def csv_text(summary: SpeedSummary) -> str:
    """The table for a machine: full precision, in SI units and bytes."""
    axes = list(summary.collected.plan.axes)
    names = [f"{c.key}{suffix}" for c in summary.columns for suffix in ("", "_low", "_high")]
    lines = [["row", *axes, "processes", "nodes", *names, "repetitions", "declared"]]
    for row in summary.rows:
        values = [plain(v) for c in summary.columns for v in _numbers(row.entries[c.key])]
        line = [row.cell.name, *(str(row.cell.values.get(a, "")) for a in axes), str(row.processes), str(row.nodes)]
        lines.append([*line, *values, str(row.found), str(row.declared)])
    return written_csv(lines)


def _numbers(entry: Spread) -> tuple[float, float, float]:
    return entry.mean, entry.low, entry.high


def page(summary: SpeedSummary, table: str, figures: list[base.Drawn]) -> str:
    """The Markdown page."""
    collected, plan = summary.collected, summary.collected.plan
    holes = collected.holes
    parts = [f"# {plan.title}\n\n{plan.question}\n", table]
    parts += [f"**Holes ({len(holes)})**\n\n{bullets(list(map(hole_line, holes)))}"] if holes else []
    parts += [figure_text(drawn) for drawn in figures]
    parts += [f"## Reproducibility\n\n{bullets([*origin(collected), again(plan)])}"]
    files = ["this page with sortable tables: [HTML](report.html)"]
    files += ["the table: [Markdown](table.md), [CSV](table.csv), [LaTeX](table.tex)"]
    files += ["every metric of every trial: [Parquet](results.parquet)"]
    return "\n".join([*parts, f"## Files\n\n{bullets(files)}"])
