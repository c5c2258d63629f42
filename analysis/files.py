"""Which files a report's tables are written to: CSV for machines, LaTeX for papers, Markdown for people."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.findings import Findings
from analysis.pages import Page
from analysis.sections import FINDINGS_FILES, SECTIONS, Section, csv_files
from analysis.summary import Summary
from analysis.tables import escape_tex, label_csv, label_latex, latex, main_csv, main_latex


def table_files(summary: Summary, findings: Findings, told: Sequence[Section], page: Page) -> dict[str, str | None]:
    """File name -> content; None for a file that this report does not have, though another one may."""
    files: dict[str, str | None] = dict.fromkeys([*FINDINGS_FILES, *(f"{name}.tex" for name in SECTIONS)])
    files |= csv_files(findings)
    files |= {f"{section.name}.tex": section_latex(summary, section) for section in told}
    files |= {"table.md": page.table, "table.csv": main_csv(summary), "table.tex": main_latex(summary, page.caption)}
    return files | {"labels.csv": label_csv(summary), "labels.tex": label_latex(summary, page.label_caption)}


def section_latex(summary: Summary, section: Section) -> str:
    """A section as a LaTeX table, its notes in the caption."""
    plan = summary.collected.plan
    notes = " ".join(f"{note[:1].upper()}{note[1:]}." for note in section.notes)
    lines = [[escape_tex(text) for text in line] for line in section.lines]
    label = f"tab:{plan.ablation.replace('_', '-')}-{section.name}"
    return latex(lines, escape_tex(f"{plan.title}: {section.title}. {notes}"), label)
