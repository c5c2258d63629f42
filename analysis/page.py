"""The HTML page: one file without a network, its tables sortable, every number a click away from its trials."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from analysis.cards import card_html
from analysis.collect import Collected
from analysis.pages import again, hole_text, notes_of, reproducibility
from analysis.plots.base import Drawn
from analysis.sections import Section
from analysis.summary import Summary
from analysis.tables import Style, grid, label_grid, label_rows, marks_text
from core.errors import DataError
from core.identity import flatten
from core.io import write_text
from sweeps.declared import DeclaredCell, DeclaredPlan, DeclaredTrial
from sweeps.folders import trial_folder

PAGE, INDEX_PAGE = "report.html", "index.html"
ASSETS = Path(__file__).parent / "assets"
# Between these an ablation's page holds what the index repeats; trials lie another level up from there.
BEGIN, END = "<!-- article -->\n", "<!-- /article -->\n"
HTML = Style(escape, "<b>{}</b>".format, "<i>{}</i>".format, '<span class="interval">{}</span>'.format, " ≈", "bold")
# What lies in a trial's folder, and what a link to it is called.
TRIAL_FILES = {"config.json": "config", "log.txt": "log", "telemetry.jsonl": "telemetry", "error.txt": "error"}

Groups = list[list[tuple[str, ...]]]


@dataclass(frozen=True)
class HtmlTable:
    """A table of the page. lines: HTML, the heading first. behind: ids of the trials behind every cell below it."""

    name: str
    title: str
    lines: Sequence[Sequence[str]]
    notes: Sequence[str]
    behind: Groups


def write_page(summary: Summary, drawn: Sequence[Drawn], told: Sequence[Section], folder: Path, data: str = "") -> None:
    """Write one ablation's page. The figures' files lie in `folder` already. data: the data card, Markdown."""
    tables = [main_html(summary), label_html(summary), *(section_html(summary, section) for section in told)]
    facts = [*reproducibility(summary), *_versions(summary.collected)]
    write_article(summary.collected, tables, drawn, facts, folder, data)


def write_article(
    collected: Collected,
    tables: Sequence[HtmlTable],
    drawn: Sequence[Drawn],
    facts: Sequence[str],
    folder: Path,
    data: str = "",
) -> None:
    """Write an ablation's page to <root>/reports/<ablation>/ from its tables and figures.

    facts: what it rests on, Markdown's backticks for code. data: the data card, Markdown.
    """
    plan = collected.plan
    body = "".join(_article(collected, tables, drawn, facts, folder, data))
    write_text(folder / PAGE, shell(plan.title, f"{BEGIN}{body}{END}", "../../"))


def write_index_page(
    main: Summary | None, figure: Drawn | None, reported: Sequence[DeclaredPlan], folder: Path
) -> None:
    """Write the page over all ablations: the main figure, then each ablation's page as it was last written."""
    articles = [(plan, _read_article(folder / plan.ablation / PAGE)) for plan in reported]
    parts = ['<header class="top"><h1>viewpair report</h1>']
    links = "".join(f'<li><a href="#{plan.ablation}">{escape(plan.title)}</a></li>' for plan, text in articles if text)
    parts.append(f"<nav><ul>{links}</ul></nav></header>\n")
    if main and figure:
        parts.append(_figure(figure, folder, ""))
    parts += [text for _, text in articles]
    write_text(folder / INDEX_PAGE, shell("viewpair report", "".join(parts), "../"))


def _read_article(path: Path) -> str:
    if not path.exists():
        return ""
    _, begin, rest = path.read_text().partition(BEGIN)
    body, end, _ = rest.partition(END)
    if not (begin and end):
        raise DataError(f"{path} was cut short", "report that ablation again")
    return body


def shell(title: str, body: str, root: str) -> str:
    """A whole page. root: the way from the page to the folder of all outputs."""
    style, script = ((ASSETS / name).read_text() for name in ("page.css", "page.js"))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<link rel="icon" href="data:,">\n<style>\n{style}</style></head>\n'
        f'<body data-root="{root}">\n{body}'
        '<dialog id="source"><form method="dialog"><button aria-label="close">&times;</button></form>'
        "<div></div></dialog>\n"
        f"<script>\n{script}</script></body></html>\n"
    )


def _article(
    collected: Collected,
    tables: Sequence[HtmlTable],
    drawn: Sequence[Drawn],
    facts: Sequence[str],
    folder: Path,
    data: str,
) -> Iterator[str]:
    plan = collected.plan
    yield f'<article id="{plan.ablation}"><h2>{escape(plan.title)}</h2>\n'
    yield f'<p class="question">{escape(plan.question)}</p>\n'
    if collected.holes:
        count = len(collected.holes)
        told = "1 result is" if count == 1 else f"{count} results are"
        yield f'<p class="holes">▲ {told} missing: see the trials below.</p>\n'
        undeclared = [f"<li>▲ {escape(hole_text(hole))}</li>" for hole in collected.holes if not hole.trial]
        yield f'<ul class="notes">{"".join(undeclared)}</ul>\n' if undeclared else ""
    groups: dict[tuple[str, ...], int] = {}
    yield _table(plan, tables[0], groups)
    yield from (_figure(figure, folder, f"{plan.ablation}/") for figure in drawn)
    yield from (_table(plan, table, groups) for table in tables[1:])
    if data:
        yield f"<section><details><summary>Data card</summary>{card_html(data)}</details></section>\n"
    items = "".join(f"<li>{_code(fact)}</li>" for fact in [*facts, again(plan)])
    configs = {trial: flatten(loaded.result.config) for trial, loaded in collected.results.items()}
    shared = _shared(configs)
    yield f"<section><h3>Where it came from</h3><ul>{items}</ul>{_common(shared)}</section>\n"
    own = {trial: _own(config, shared) for trial, config in configs.items()}
    yield _trials(collected, own, folder.parents[1])
    told = json.dumps([list(group) for group in groups], separators=(",", ":"))
    yield f'<script type="application/json" class="groups">{told}</script></article>\n'


def _table(plan: DeclaredPlan, table: HtmlTable, groups: dict[tuple[str, ...], int]) -> str:
    head = "".join(f'<th scope="col"><button>{text}</button></th>' for text in table.lines[0])
    body = []
    for line, behind in zip(table.lines[1:], table.behind, strict=True):
        cells = [f'<th scope="row">{line[0]}</th>']
        cells += [_cell(text, group, groups) for text, group in zip(line[1:], behind[1:], strict=True)]
        body.append(f"<tr>{''.join(cells)}</tr>\n")
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    identity = f"{plan.ablation}-{table.name}"
    return (
        f'<section id="{identity}"><h3>{escape(table.title)}</h3>\n<div class="scroll"><table class="sortable">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{''.join(body)}</tbody></table></div>\n"
        f'<ul class="notes">{notes}</ul></section>\n'
    )


def _cell(text: str, behind: tuple[str, ...], groups: dict[tuple[str, ...], int]) -> str:
    kind = ' class="hole"' if text.startswith("hole") else ' class="best"' if text.startswith("<b>") else ""
    if not behind:
        return f"<td{kind}>{text}</td>"
    place = groups.setdefault(behind, len(groups))
    return f'<td{kind} data-g="{place}" tabindex="0">{text}</td>'


def _figure(drawn: Drawn, folder: Path, prefix: str) -> str:
    # Vectors, but for pictures of films, which are smaller as they are.
    suffix, kind = ("png", "png") if drawn.name == "gallery" else ("svg", "svg+xml")
    data = base64.b64encode((folder / f"{drawn.name}.{suffix}").read_bytes()).decode()
    caption = escape(drawn.caption)
    files = " ".join(f'<a data-file="{prefix}{drawn.name}.{form}">{form.upper()}</a>' for form in ("pdf", "svg", "png"))
    return (
        f'<figure><img alt="{caption}" src="data:image/{kind};base64,{data}">\n'
        f'<figcaption>{caption} <span class="files">{files}</span></figcaption></figure>\n'
    )


def _code(text: str) -> str:
    """Text with `code` and **strong** as HTML."""
    parts = escape(text).replace("**", "").split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def main_html(summary: Summary) -> HtmlTable:
    """The main table."""
    behind: Groups = []
    for row in summary.rows:
        of_columns = [
            ids(row.cell, summary.main.fraction if column.metric else column.fraction) for column in summary.columns
        ]
        behind.append([(), *of_columns, ids(row.cell, summary.main.fraction)])
    notes = [marks_text(HTML), *notes_of(summary), "click a number for the trials behind it, a heading to sort"]
    return HtmlTable(
        "table", "Macro AUROC by label fraction, and what else was measured", grid(summary, HTML), notes, behind
    )


def label_html(summary: Summary) -> HtmlTable:
    """The per-label table."""
    lines = label_grid(summary, HTML)
    of_rows = [ids(row.cell, summary.main.fraction) for row in label_rows(summary)]
    behind: Groups = [[(), (), *of_rows] for _ in lines[1:]]
    return HtmlTable("labels", f"Per label, {summary.main.title} of labels", lines, (), behind)


def section_html(summary: Summary, section: Section) -> HtmlTable:
    """A table below the main one."""
    of_row = {row.cell.name: ids(row.cell, summary.main.fraction) for row in summary.rows}
    behind = [[tuple(id_ for name in names for id_ in of_row[name]) for names in line] for line in section.behind]
    lines = [[escape(text) for text in line] for line in section.lines]
    return HtmlTable(section.name, section.title, lines, section.notes, behind)


def ids(cell: DeclaredCell, fraction: float) -> tuple[str, ...]:
    """Trials that a row's number at a label fraction rests on; all of them at a fraction that is NaN or none has."""
    return tuple(trial.id for trial in cell.trials_at(fraction) or cell.trials)


def _versions(collected: Collected) -> Iterator[str]:
    devices = sorted({str(loaded.result.cost.get("device", "unknown")) for loaded in collected.results.values()})
    if devices:
        yield f"trained on: {', '.join(devices)}"
    policies = sorted({loaded.result.label_policy for loaded in collected.results.values()})
    if policies:
        yield f"uncertain and missing labels: {', '.join(policies)}"


def _shared(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The settings that all trials have alike."""
    first, *others = configs.values() if configs else [{}]
    return {k: v for k, v in first.items() if all(k in other and other[k] == v for other in others)}


def _common(shared: Mapping[str, Any]) -> str:
    rows = "".join(f"<tr><td>{escape(k)}</td><td>{escape(str(v))}</td></tr>" for k, v in sorted(shared.items()))
    return f"<details><summary>Settings that all trials share ({len(shared)})</summary><table>{rows}</table></details>"


def _trials(collected: Collected, own: Mapping[str, str], root: Path) -> str:
    """own: of each trial, the settings that others do not share."""
    reasons = {hole.trial: hole.reason for hole in collected.holes}
    rows = "".join(
        _trial(collected, cell, trial, reasons.get(trial.id, ""), own.get(trial.id, ""), root)
        for cell in collected.plan.cells
        for trial in cell.trials
    )
    heads = ("Trial", "Row", "Seed", "State", "Own settings", "Hours", "Code", "Files")
    head = "".join(f'<th scope="col"><button>{name}</button></th>' for name in heads)
    count = sum(len(cell.trials) for cell in collected.plan.cells)
    return (
        f'<section class="trials"><details><summary>All {count} trials</summary><div class="scroll">\n'
        f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></div>\n'
        "</details></section>\n"
    )


def _own(config: Mapping[str, Any], shared: Mapping[str, Any]) -> str:
    return ", ".join(f"{k}={v}" for k, v in sorted(config.items()) if k not in shared and k != "seed")


def _trial(collected: Collected, cell: DeclaredCell, trial: DeclaredTrial, reason: str, own: str, root: Path) -> str:
    folder = trial_folder(root, trial.id)
    loaded = collected.results.get(trial.id)
    cost = loaded.result.cost if loaded else {}
    hours = cost.get("device_hours", cost["seconds"] / 3600 if "seconds" in cost else None)
    links = {label: f"trials/{trial.id}/{name}" for name, label in TRIAL_FILES.items() if (folder / name).exists()}
    if loaded:
        links["result"] = f"trials/{trial.id}/evaluations/{collected.plan.evaluation_key}/result.json"
    files = " ".join(f'<a data-file="{path}">{label}</a>' for label, path in links.items())
    told = own or ", ".join(f"{k}={v}" for k, v in {**cell.values, **trial.values}.items())
    cells = [
        escape(cell.name),
        str(trial.seed),
        "done" if loaded else f"▲ hole: {escape(reason)}",
        escape(told),
        "" if hours is None else f"{hours:.3g}",
        f"<code>{escape(loaded.result.code)}</code>" if loaded else "",
        files,
    ]
    body = "".join(f"<td>{text}</td>" for text in cells)
    return f'<tr data-trial="{trial.id}"><th scope="row"><code>{trial.id}</code></th>{body}</tr>\n'
