"""From the results on disk to a report: per ablation its tables and figures, and an index over all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from analysis.collect import ResultReader, collect
from analysis.findings import Findings, find
from analysis.pages import ablation_page, index_page
from analysis.plots import base, overview
from analysis.plots.base import Drawn
from analysis.resample import BootstrapConfig
from analysis.sections import FINDINGS_FILES, csv_files, sections
from analysis.summary import Bootstrap, Summary, summarise, with_references
from analysis.tables import console, label_csv, label_latex, main_csv, main_latex
from core.io import atomic_path, write_text
from core.progress import Progress
from sweeps.declared import choose, declared_names, read_plan

BASELINES, PAIRING = "baselines", "pairing"
INDEX, REPORT = "index.md", "report.md"
GALLERY = "gallery"


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
    chosen = choose(root, names)
    # These two are always read: the main figure is theirs, and other ablations' figures show the baselines.
    read = sorted({*chosen, BASELINES, PAIRING} & set(declared_names(root)))
    reader, bootstrap = ResultReader(root), Bootstrap(config or BootstrapConfig())
    with Progress("reporting", len(read) + len(chosen), unit="steps") as progress, base.look():
        summaries: dict[str, Summary] = {}
        for name in read:
            summaries[name] = summarise(collect(reader, read_plan(root, name)), bootstrap)
            progress.advance(1)
        main = summaries[BASELINES] if BASELINES in summaries else summaries[chosen[0]]
        for name in chosen:
            write_ablation(referenced(summaries[name], main), root)
            progress.advance(1)
        index = write_index(root, summaries, main)
    if len(chosen) == 1:
        return ReportSummary(root / "reports" / chosen[0] / REPORT, console(summaries[chosen[0]]))
    return ReportSummary(index, console(main))


def referenced(summary: Summary, main: Summary) -> Summary:
    """The summary with the baselines' rows to show beside its own in figures."""
    is_reference = main.collected.plan.ablation == BASELINES and main is not summary
    return with_references(summary, main) if is_reference else summary


def write_ablation(summary: Summary, root: Path) -> None:
    """Write one ablation's tables, figures and page to root/reports/<ablation>/."""
    folder = root / "reports" / summary.collected.plan.ablation
    findings = find(summary, root)
    page = ablation_page(summary, list(write_figures(summary, folder)), sections(summary, findings))
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


def write_figures(summary: Summary, folder: Path) -> Iterator[Drawn]:
    """Draw and save what the ablation asks for, and the reconstructions; a figure without results is left out.

    The files of a figure that an earlier report drew and this one does not are removed: they show other results.
    """
    for name in (*summary.collected.plan.draw, GALLERY):
        drawn = base.draw(name, summary) if summary.collected.results else None
        if drawn:
            base.save(drawn, folder)
            yield drawn
        else:
            base.remove(name, folder)


def write_index(root: Path, summaries: dict[str, Summary], main: Summary) -> Path:
    """Write the main figure and index.md over all ablations that have a report; returns its path."""
    folder = root / "reports"
    beside = summaries.get(PAIRING)
    if beside is main or (beside and beside.collected.provenance != main.collected.provenance):
        beside = None
    figure = None
    if main.collected.results:
        figure = overview.draw(main, referenced(beside, main) if beside else None)
        base.save(figure, folder)
    reported = [read_plan(root, name) for name in declared_names(root) if (folder / name / REPORT).exists()]
    write_text(folder / INDEX, index_page(main, figure, reported))
    return folder / INDEX
