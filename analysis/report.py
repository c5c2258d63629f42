"""From the results on disk to a report: per ablation its tables and figures, and an index over all of them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from analysis.collect import Collected, ResultReader, collect
from analysis.findings import Findings, find
from analysis.pages import ablation_page, index_page
from analysis.plots import base, overview
from analysis.resample import BootstrapConfig
from analysis.sections import FINDINGS_FILES, csv_files, sections
from analysis.summary import Bootstrap, Summary, summarise, with_references
from analysis.tables import console, label_csv, label_latex, main_csv, main_latex
from core.io import atomic_path, write_text
from core.measures.base import QUALITY
from core.progress import Progress
from sweeps.declared import choose, declared_names, read_plan

BASELINES, PAIRING = "baselines", "pairing"
INDEX, REPORT = "index.md", "report.md"
# Figures of every ablation whose trials were evaluated for them.
ALWAYS = ("leakage", "embedding", "saliency", "gallery")


@dataclass(frozen=True)
class ReportSummary:
    """path: the page to open. main_table: the main table as plain text for a terminal."""

    path: Path
    main_table: str


def write_reports(root: Path, names: list[str] | None, config: BootstrapConfig | None = None) -> ReportSummary:
    """Write root/reports/<ablation>/ for every ablation in `names` (None = all that have a plan), and an index.

    The same results give the same bytes. Raises UserError when there is nothing to report, when a plan cannot be
    read, or when results of two data sets or two label policies would meet in one table.
    """
    chosen = {name: read_plan(root, name) for name in choose(root, names)}
    others = {name: plan for name, plan in chosen.items() if plan.measure != QUALITY}
    # These two are always read: the main figure is theirs, and other ablations' figures show the baselines.
    read = sorted({*(chosen.keys() - others.keys()), BASELINES, PAIRING} & set(declared_names(root)))
    reader, bootstrap = ResultReader(root), Bootstrap(config or BootstrapConfig())
    tables: dict[str, str] = {}
    with Progress("reporting", len(read) + len(chosen), unit="steps") as progress, base.look():
        summaries: dict[str, Summary] = {}
        for name in read:
            summaries[name] = summarise(collect(reader, read_plan(root, name)), bootstrap)
            progress.advance(1)
        main = summaries.get(BASELINES) or next((summaries[n] for n in (*chosen, *read) if n in summaries), None)
        for name, plan in chosen.items():
            folder = root / "reports" / name
            if name in others:
                tables[name] = write_measure(collect(reader, plan), folder)
            else:
                write_ablation(referenced(summaries[name], main), root, folder)
                tables[name] = console(summaries[name])
            progress.advance(1)
        index = write_index(root, summaries, main)
    if len(chosen) == 1:
        name = next(iter(chosen))
        return ReportSummary(root / "reports" / name / REPORT, tables[name])
    return ReportSummary(index, console(main) if main else "\n\n".join(tables.values()))


def write_measure(collected: Collected, folder: Path) -> str:
    """Write the report of an ablation that was not run for what is learned; returns its table for a terminal."""
    table: str = importlib.import_module(f"analysis.measures.{collected.plan.measure}").write(collected, folder)
    return table


def referenced(summary: Summary, main: Summary | None) -> Summary:
    """The summary with the baselines' rows to show beside its own in figures."""
    if main is None or main is summary or main.collected.plan.ablation != BASELINES:
        return summary
    return with_references(summary, main)


def write_ablation(summary: Summary, root: Path, folder: Path) -> None:
    """Write one ablation's tables, figures and page to `folder`. root: where its plan and results lie."""
    findings = find(summary, root)
    drawn = list(base.draw_all(summary, (*summary.collected.plan.draw, *ALWAYS), folder))
    page = ablation_page(summary, drawn, sections(summary, findings))
    write_findings(findings, folder)
    write_text(folder / "table.md", page.table)
    write_text(folder / "table.csv", main_csv(summary))
    write_text(folder / "table.tex", main_latex(summary, page.caption))
    write_text(folder / "labels.csv", label_csv(summary))
    write_text(folder / "labels.tex", label_latex(summary, page.label_caption))
    with atomic_path(folder / "results.parquet") as temporary:
        summary.collected.table.to_parquet(temporary, engine="pyarrow", index=False, compression="zstd")
    write_text(folder / REPORT, page.text)


def write_findings(findings: Findings, folder: Path) -> None:
    """Write what is found beyond the main table, a file each; one that an earlier report left and this lacks goes."""
    files = csv_files(findings)
    for name in FINDINGS_FILES:
        if name in files:
            write_text(folder / name, files[name])
        else:
            (folder / name).unlink(missing_ok=True)


def write_index(root: Path, summaries: dict[str, Summary], main: Summary | None) -> Path:
    """Write the main figure and index.md over all ablations that have a report; returns its path."""
    folder = root / "reports"
    beside = summaries.get(PAIRING)
    if beside is main or (beside and main and beside.collected.provenance != main.collected.provenance):
        beside = None
    figure = None
    if main and main.collected.results:
        figure = overview.draw(main, referenced(beside, main) if beside else None)
        base.save(figure, folder)
    reported = [read_plan(root, name) for name in declared_names(root) if (folder / name / REPORT).exists()]
    write_text(folder / INDEX, index_page(main, figure, reported))
    return folder / INDEX
