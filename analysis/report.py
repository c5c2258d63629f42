"""From the results on disk to a report: per ablation its tables and figures, and an index over all of them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from analysis.cards import CARD, card
from analysis.collect import Collected, ResultReader, collect
from analysis.crew import Crew
from analysis.files import table_files
from analysis.findings import find
from analysis.macros import FILE as MACROS
from analysis.macros import macros
from analysis.page import write_index_page, write_page
from analysis.pages import ablation_page, hole_text, index_page
from analysis.plots import base, overview
from analysis.resample import BootstrapConfig
from analysis.sections import sections
from analysis.summary import Bootstrap, Summary, summarise, with_references
from analysis.tables import console
from core.errors import UserError
from core.io import atomic_path, write_text
from core.measures.base import QUALITY
from core.progress import Progress
from core.threads import one_thread
from core.workers import cores
from sweeps.declared import DeclaredPlan, choose, declared_names, read_plan

BASELINES, PAIRING = "baselines", "pairing"
# Fewer trials than this are read and resampled in less time than another process needs to start.
TRIALS_A_WORKER = 400
INDEX, REPORT = "index.md", "report.md"
# Drawn of every ablation that has what they show, whatever its file asks for.
ALWAYS = ("forest", "labels", "pareto", "gallery")
# Drawn of every ablation whose trials were evaluated for them.
EVALUATED = ("leakage", "embedding", "saliency")


@dataclass(frozen=True)
class ReportSummary:
    """path: the page to open. main_table: the main table as plain text for a terminal."""

    path: Path
    main_table: str


@dataclass(frozen=True)
class ReportConfig:
    """bootstrap: of the intervals. strict: refuse an ablation whose table has a hole. macros: write macros.tex."""

    bootstrap: BootstrapConfig = BootstrapConfig()
    strict: bool = False
    macros: bool = False


class Desk:
    """Writes the reports of ablations below a root, one after the other.

    main: the main table, once it is known. Where it is the baselines', figures of other ablations show its rows.
    """

    def __init__(self, root: Path, config: ReportConfig, main: Summary | None = None) -> None:
        self.root, self.config, self.main = root, config, main
        self._reader, self._bootstrap = ResultReader(root), Bootstrap(config.bootstrap)

    def summary(self, name: str) -> Summary:
        """The tables of one ablation that was run for what is learned."""
        return summarise(collect(self._reader, read_plan(self.root, name)), self._bootstrap)

    def report(self, name: str) -> str:
        """Write the report of one ablation; returns its main table for a terminal."""
        plan = read_plan(self.root, name)
        if plan.measure == QUALITY:
            return self.write(self.summary(name))
        collected = collect(self._reader, plan)
        self._check(collected)
        return write_measure(collected, self.folder(name))

    def write(self, summary: Summary) -> str:
        """Write the report of an ablation whose tables are known; returns its main table for a terminal."""
        self._check(summary.collected)
        folder = self.folder(summary.collected.plan.ablation)
        write_ablation(referenced(summary, self.main), self.root, folder, self.config.macros)
        return console(summary)

    def folder(self, name: str) -> Path:
        """Where the report of an ablation lies."""
        return self.root / "reports" / name

    def _check(self, collected: Collected) -> None:
        if self.config.strict:
            refuse_holes(collected)


def refuse_holes(collected: Collected) -> None:
    """Raise UserError that names the first holes of a table, if it has any."""
    holes = collected.holes
    if holes:
        told = "; ".join(map(hole_text, holes[:3]))
        more = f"; and {len(holes) - 3} more" if len(holes) > 3 else ""
        name = collected.plan.ablation
        raise UserError(
            f"ablation {name}: its table has {len(holes)} holes, and --strict allows none: {told}{more}",
            f"`viewpair resume ablation={name}` runs what is missing; without --strict holes are shown",
        )


def write_reports(
    root: Path, names: list[str] | None, config: ReportConfig | BootstrapConfig | None = None
) -> ReportSummary:
    """Write root/reports/<ablation>/ for every ablation in `names` (None = all that have a plan), and an index.

    The same results give the same bytes. Raises UserError when there is nothing to report, when a plan cannot be
    read, when results of two data sets or two label policies would meet in one table, or, where it is strict, when
    a result is missing. An ablation that is refused keeps its last report.
    """
    with one_thread():
        return _write_reports(root, {name: read_plan(root, name) for name in choose(root, names)}, config)


def _write_reports(
    root: Path, chosen: dict[str, DeclaredPlan], config: ReportConfig | BootstrapConfig | None
) -> ReportSummary:
    desk = Desk(root, config if isinstance(config, ReportConfig) else ReportConfig(config or BootstrapConfig()))
    first = main_name(root, chosen)
    with base.look():
        tables = write_all(desk, chosen, first)
        index = write_index(desk, PAIRING if PAIRING in declared_names(root) and first != PAIRING else "")
    if len(chosen) == 1:
        name = next(iter(chosen))
        return ReportSummary(desk.folder(name) / REPORT, tables[name])
    main_table = console(desk.main) if desk.main else "\n\n".join(tables[name] for name in chosen)
    return ReportSummary(index, main_table)


def main_name(root: Path, chosen: dict[str, DeclaredPlan]) -> str:
    """The ablation of the main table: the baselines, else the first that was run for what is learned, else ""."""
    known = declared_names(root)
    usual = [name for name in (BASELINES, PAIRING) if name in known]
    candidates = [*usual[:1], *chosen] if BASELINES in known else [*chosen, *usual]
    return next((name for name in candidates if read_plan(root, name).measure == QUALITY), "")


def write_all(desk: Desk, chosen: Mapping[str, DeclaredPlan], first: str) -> dict[str, str]:
    """Write the report of each ablation, in several processes where there are many trials; returns their tables.

    first: the ablation of the main table, which is made by this process, or "".
    """
    others = [name for name in chosen if name != first]
    tables: dict[str, str] = {}
    if first == BASELINES:
        # Before the others, whose figures show its rows; any other main table is made while processes are at them.
        desk.main = desk.summary(first)
    arguments = (desk.root, desk.config, slim(desk.main))
    crew = Crew(Desk, arguments, min(len(others), workers_that_pay(chosen)))
    with Progress("reporting", len(chosen), unit="ablations") as progress, crew:
        written = crew.map("report", others, desk)
        if first and desk.main is None:
            desk.main = desk.summary(first)
        if first in chosen and desk.main is not None:
            tables[first] = desk.write(desk.main)
            progress.advance(1)
        for name, table in zip(others, written, strict=True):
            tables[name] = table
            progress.advance(1)
    return tables


def workers_that_pay(chosen: Mapping[str, DeclaredPlan]) -> int:
    """Processes that so many trials are worth; 0 where one, this one, does."""
    trials = sum(len(cell.trials) for plan in chosen.values() for cell in plan.cells)
    paying = min(cores(), trials // TRIALS_A_WORKER)
    return paying if paying > 1 else 0


def slim(main: Summary | None) -> Summary | None:
    """What other ablations' figures need of the baselines: the rows, without results and labels' resamples."""
    if main is None:
        return None
    rows = tuple(replace(row, label_resamples={}) for row in main.rows)
    return replace(main, rows=rows, collected=replace(main.collected, results={}, table=pd.DataFrame()))


def write_measure(collected: Collected, folder: Path) -> str:
    """Write the report of an ablation that was not run for what is learned; returns its table for a terminal."""
    table: str = importlib.import_module(f"analysis.measures.{collected.plan.measure}").write(collected, folder)
    return table


def referenced(summary: Summary, main: Summary | None) -> Summary:
    """The summary with the baselines' rows to show beside its own in figures."""
    if main is None or main is summary or main.collected.plan.ablation != BASELINES:
        return summary
    return with_references(summary, main)


def write_ablation(summary: Summary, root: Path, folder: Path, with_macros: bool = False) -> None:
    """Write one ablation's tables, figures and pages to `folder`. root: where its plan and results lie."""
    findings = find(summary, root)
    drawn = list(base.draw_all(summary, figures_of(summary.collected.plan.draw), folder))
    told = sections(summary, findings)
    data = card(summary.collected, root)
    page = ablation_page(summary, drawn, told, data or "")
    files = table_files(summary, findings, told, page)
    files |= {MACROS: macros(summary, findings) if with_macros else None, CARD: data}
    write_or_remove(files, folder)
    with atomic_path(folder / "results.parquet") as temporary:
        summary.collected.table.to_parquet(temporary, engine="pyarrow", index=False, compression="zstd")
    write_text(folder / REPORT, page.text)
    write_page(summary, drawn, told, folder, data or "")


def write_or_remove(files: Mapping[str, str | None], folder: Path) -> None:
    """Write files; one without content goes: an earlier report left it, and this one has nothing to say there."""
    for name, content in files.items():
        if content is None:
            (folder / name).unlink(missing_ok=True)
        else:
            write_text(folder / name, content)


def figures_of(asked: Sequence[str]) -> list[str]:
    """The figures of an ablation: those that its file asks for, then those that every one gets."""
    return list(dict.fromkeys([*asked, *ALWAYS, *EVALUATED]))


def write_index(desk: Desk, beside_name: str) -> Path:
    """Write the main figure, index.md and index.html over all ablations that have a report; returns index.md's path."""
    main, folder = desk.main, desk.root / "reports"
    figure = None
    if main and main.collected.results:
        beside = (
            desk.summary(beside_name) if beside_name and read_plan(desk.root, beside_name).measure == QUALITY else None
        )
        if beside and beside.collected.provenance != main.collected.provenance:
            beside = None
        figure = overview.draw(main, referenced(beside, main) if beside else None)
        base.save(figure, folder)
    names = [name for name in declared_names(desk.root) if (folder / name / REPORT).exists()]
    reported = [read_plan(desk.root, name) for name in names]
    write_text(folder / INDEX, index_page(main, figure, reported))
    write_index_page(main, figure, reported, folder)
    return folder / INDEX
