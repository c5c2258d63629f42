"""An ablation's tables as Markdown, CSV and LaTeX, all from the same rows."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.summary import Column, Entry, Row, Summary

TEX_SPECIAL = {c: "\\" + c for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "≈": r"$\approx$",
    "β": r"$\beta$",
    "\u2013": "--",
}
NOT_APPLICABLE = "\u2013"  # a dash
PLAIN_NUMBER = re.compile(r"(-?[\d,]+)(?:\.(\d+))?")
NO_NUMBER = ("", "--", NOT_APPLICABLE)


@dataclass(frozen=True)
class Style:
    """How a format writes the parts of a table cell. best: what its bold print is called in notes."""

    text: Callable[[str], str]
    bold: Callable[[str], str]
    italic: Callable[[str], str]
    interval: Callable[[str], str]
    tie: str
    best: str


def escape_tex(text: str) -> str:
    """Text with every character that LaTeX would take as a command escaped."""
    return "".join(TEX_SPECIAL.get(c, c) for c in text)


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is inside a table."""
    return "".join("\\" + c if c in "\\|*`<>[]" else c for c in text)


MARKDOWN = Style(escape_markdown, "**{}**".format, "*{}*".format, str, " ≈", "**bold**")
LATEX = Style(
    escape_tex, r"\textbf{{{}}}".format, r"\textit{{{}}}".format, r"{{\scriptsize {}}}".format, r" $\approx$", "bold"
)

CONSOLE = Style(str, "*{}*".format, str, str, " ≈", "*stars*")


def number(value: float, digits: int) -> str:
    """A number with fixed decimals, thousands separated; "" when undefined."""
    return f"{value:,.{digits}f}" if math.isfinite(value) else ""


def hole_text(entry: Entry) -> str:
    """How a missing seed is named, or "" when none is missing."""
    return f"hole ({entry.found} of {entry.declared} seeds)" if entry.is_hole else ""


def entry_text(entry: Entry, digits: int, style: Style) -> str:
    """One table cell: mean, interval, mark, hole."""
    if entry.is_empty:
        return hole_text(entry) or (NOT_APPLICABLE if not entry.declared else "undefined")
    value = number(entry.estimate.mean, digits)
    text = style.bold(value) if entry.mark == "best" else value
    if math.isfinite(entry.estimate.low):
        low, high = number(entry.estimate.low, digits), number(entry.estimate.high, digits)
        text += " " + style.interval(f"[{low}, {high}]")
    if entry.mark == "tie":
        text += style.tie
    return f"{text}, {hole_text(entry)}" if entry.is_hole else text


def seeds_text(entry: Entry) -> str:
    """The number of seeds behind a row's main metric; with one seed its interval covers patients only."""
    if entry.is_hole:
        return f"{entry.found} of {entry.declared}"
    return "1 (patients only)" if entry.estimate.covers == "patients" else str(entry.found)


def name_text(row: Row, style: Style) -> str:
    """The row's name; a baseline's is set in italics."""
    name = style.text(row.cell.name)
    return style.italic(name) if row.cell.role == "baseline" else name


def heading(column: Column) -> str:
    """A column's heading."""
    return f"AUROC {column.title}" if math.isfinite(column.fraction) else column.title


def grid(summary: Summary, style: Style) -> list[list[str]]:
    """The main table as text: a heading, then a line per row."""
    head = ["Row", *(style.text(heading(c)) for c in summary.columns), "Seeds"]
    lines = [
        [
            name_text(row, style),
            *(entry_text(row.entries[c.key], c.digits, style) for c in summary.columns),
            seeds_text(row.entries[summary.main.key]),
        ]
        for row in summary.rows
    ]
    return [head, *lines]


def console(summary: Summary) -> str:
    """The main table for a terminal: AUROC columns and seeds, aligned; best in *stars*."""
    from tabulate import tabulate

    columns = [c for c in summary.columns if c.metric is None]
    lines = [
        [
            row.cell.name,
            *(entry_text(row.entries[c.key], c.digits, CONSOLE) for c in columns),
            seeds_text(row.entries[summary.main.key]),
        ]
        for row in summary.rows
    ]
    table = tabulate(lines, headers=["", *map(heading, columns), "Seeds"], disable_numparse=True)
    return f"{summary.collected.plan.title}: macro AUROC by label fraction\n\n{table}\n\n{marks_text(CONSOLE)}"


def marks_text(style: Style) -> str:
    """What the marks in a table mean."""
    return f"{style.best}: best; ≈: tied with the best (the interval of the paired difference to it contains 0)"


def label_rows(summary: Summary, limit: int = 8) -> list[Row]:
    """The rows that a per-label table has room for: the baselines and the best cells, in the plan's order."""
    cells = [row for row in summary.rows if row.cell.role == "cell"]
    baselines = [row for row in summary.rows if row.cell.role != "cell"]
    ranked = sorted(cells, key=lambda row: -_sortable(row.entries[summary.main.key].estimate.mean))
    kept = {row.cell.name for row in [*baselines, *ranked[: max(1, limit - len(baselines))]]}
    return [row for row in summary.rows if row.cell.name in kept]


def _sortable(value: float) -> float:
    return value if math.isfinite(value) else -math.inf


def label_grid(summary: Summary, style: Style) -> list[list[str]]:
    """The per-label table as text: a line per label, a column per row of the main table."""
    studies = summary.collected.studies
    rows = label_rows(summary)
    lines = [["Label", "Positive", *(name_text(row, style) for row in rows)]]
    for place, label in enumerate(studies.labels if studies else ()):
        known, positive = studies.counts(place) if studies else (0, 0)
        cells = [entry_text(row.labels[label], 3, style) for row in rows]
        lines.append([style.text(label), f"{positive:,} of {known:,}", *cells])
    return lines


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A pipe table."""
    rule = ["---"] + ["---:"] * (len(lines[0]) - 1)
    return "".join(f"| {' | '.join(line)} |\n" for line in [lines[0], rule, *lines[1:]])


def latex(lines: Sequence[Sequence[str]], caption: str, label: str, rules_before: Sequence[int] = ()) -> str:
    """A booktabs table. rules_before: numbers of the lines (0 = first below the heading) that a rule precedes."""
    numeric = [_number_format([line[place] for line in lines[1:]]) for place in range(len(lines[0]))]
    body = []
    for place, line in enumerate(lines[1:]):
        body += ["\\midrule"] if place in rules_before else []
        body.append(" & ".join(map(_in_column, line, numeric)) + r" \\")
    columns = "l" + "".join(f"S[table-format={form}]" if form else "r" for form in numeric[1:])
    return "\n".join(
        [
            r"% needs \usepackage{booktabs,graphicx,siunitx}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\label{{{label}}}",
            r"\resizebox{\linewidth}{!}{%",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(f"{{{text}}}" if form else text for text, form in zip(lines[0], numeric, strict=True)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            "",
        ]
    )


def _number_format(cells: Sequence[str]) -> str:
    """siunitx's table-format of a column that holds plain numbers, such as 2.3; "" for any other."""
    found = [match for text in cells if (match := PLAIN_NUMBER.fullmatch(text))]
    if not found or any(text not in NO_NUMBER and not PLAIN_NUMBER.fullmatch(text) for text in cells):
        return ""
    whole = max(len(match[1].replace(",", "")) for match in found)
    return f"{whole}.{max(len(match[2] or '') for match in found)}"


def _in_column(text: str, form: str) -> str:
    # What is no number stands in braces in a column of numbers; siunitx groups digits itself.
    if not form:
        return text
    return text.replace(",", "") if PLAIN_NUMBER.fullmatch(text) else f"{{{text}}}"


def main_latex(summary: Summary, caption: str) -> str:
    """The main table in LaTeX; a rule parts cells from baselines."""
    roles = [row.cell.role for row in summary.rows]
    changes = [place for place in range(1, len(roles)) if roles[place] != roles[place - 1]]
    name = summary.collected.plan.ablation.replace("_", "-")
    return latex(grid(summary, LATEX), escape_tex(caption), f"tab:{name}", changes)


def label_latex(summary: Summary, caption: str) -> str:
    """The per-label table in LaTeX."""
    name = summary.collected.plan.ablation.replace("_", "-")
    return latex(label_grid(summary, LATEX), escape_tex(caption), f"tab:{name}-labels")


def main_csv(summary: Summary) -> str:
    """The main table as CSV: full precision, every column's interval, seeds, mark and hole beside it."""
    axes = list(summary.collected.plan.axes)
    studies = summary.collected.studies
    head = ["row", "role", "method", "evaluation", *axes, "n_studies", "n_patients"]
    head += [name for column in summary.columns for name in _csv_names(column)]
    lines: list[list[str]] = [head]
    for row in summary.rows:
        cell = row.cell
        line = [cell.name, cell.role, cell.method, cell.evaluation, *(str(cell.values.get(a, "")) for a in axes)]
        line += [str(studies.n_studies), str(studies.n_patients)] if studies else ["0", "0"]
        lines.append(line + [v for c in summary.columns for v in _csv_values(row.entries[c.key], c)])
    return written_csv(lines)


def _csv_names(column: Column) -> list[str]:
    key = column.key
    common = [key, f"{key}_seeds", f"{key}_declared_seeds", f"{key}_hole"]
    own = [f"{key}_low", f"{key}_high", f"{key}_interval_over", f"{key}_mark", f"{key}_labels"]
    return common + own if column.metric is None else common


def _csv_values(entry: Entry, column: Column) -> list[str]:
    value = entry.estimate
    common = [plain(value.mean), str(entry.found), str(entry.declared), hole_text(entry)]
    own = [plain(value.low), plain(value.high), value.covers, entry.mark, str(entry.labels)]
    return common + own if column.metric is None else common


def plain(value: float) -> str:
    """A number for a machine, six decimals; "" when undefined."""
    return f"{value:.6f}" if math.isfinite(value) else ""


def label_csv(summary: Summary) -> str:
    """The per-label results as CSV, a line per row and label."""
    studies = summary.collected.studies
    lines = [
        ["row", "role", "label", "n_studies", "n_positive", "auroc", "low", "high", "ap", "brier", "seeds", "hole"]
    ]
    for row in summary.rows:
        means = summary.collected.label_means(row.cell, summary.main.fraction)
        for place, label in enumerate(studies.labels if studies else ()):
            counts = [str(count) for count in studies.counts(place)] if studies else []
            entry = row.labels[label]
            value = entry.estimate
            numbers = [value.mean, value.low, value.high, *(means.get((m, label), math.nan) for m in ("ap", "brier"))]
            line = [row.cell.name, row.cell.role, label, *counts, *map(plain, numbers)]
            lines.append([*line, str(entry.found), hole_text(entry)])
    return written_csv(lines)


def written_csv(lines: Sequence[Sequence[str]]) -> str:
    """Lines as CSV text."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue()
