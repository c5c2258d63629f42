r"""Numbers for prose as LaTeX macros, with the digits that the tables show: \vp{pairing}{same-study}{auroc-1}."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from analysis.findings import Findings
from analysis.sections import p_text
from analysis.statistics import Estimate
from analysis.summary import Summary
from analysis.tables import hole_text, number

FILE = "macros.tex"
# An unknown name, a typing error or a row that is gone, stops LaTeX instead of leaving a gap in a sentence.
PREAMBLE = r"""% numbers of the report, for prose; \usepackage{siunitx}
% \vp{ablation}{row}{number}: value; number-interval: [low, high]; see the names below
\providecommand{\vp}[3]{\ifcsname vp@#1@#2@#3\endcsname\csname vp@#1@#2@#3\endcsname\else
  \PackageError{viewpair}{no number #3 of row #2 in ablation #1}{see macros.tex for the names}\fi}
\providecommand{\vpdefine}[4]{\expandafter\gdef\csname vp@#1@#2@#3\endcsname{#4}}
"""


def slug(text: str) -> str:
    """A name in letters, digits, dots and dashes: what may stand inside a macro's name."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")


def slugs(names: Sequence[str]) -> dict[str, str]:
    """A slug for each name, no two alike: a later one that would be gets a number."""
    found: dict[str, str] = {}
    for name in names:
        base = slug(name)
        taken = sum(slug(other) == base for other in found)
        found[name] = base if not taken else f"{base}-{taken + 1}"
    return found


def macros(summary: Summary, findings: Findings) -> str:
    """The macros of one ablation: its rows' columns, their differences to the reference, its claims, and n."""
    ablation = slug(summary.collected.plan.ablation)
    lines = [rf"\vpdefine{{{ablation}}}{{{row}}}{{{key}}}{{{text}}}" for row, key, text in _numbers(summary, findings)]
    return PREAMBLE + "".join(f"{line}\n" for line in lines)


def _numbers(summary: Summary, findings: Findings) -> Iterator[tuple[str, str, str]]:
    studies = summary.collected.studies
    if studies:
        yield "test", "studies", _num(studies.n_studies, 0)
        yield "test", "patients", _num(studies.n_patients, 0)
    names = slugs([row.cell.name for row in summary.rows])
    for row in summary.rows:
        for column in summary.columns:
            entry, key = row.entries[column.key], slug(column.key)
            if not entry.is_empty:
                yield from _estimate(names[row.cell.name], key, entry.estimate, column.digits)
            elif entry.is_hole:
                yield names[row.cell.name], key, rf"\textbf{{{hole_text(entry)}}}"
        yield names[row.cell.name], "seeds", _num(row.entries[summary.main.key].found, 0)
    for found in findings.comparisons:
        yield from _estimate(names[found.row], "difference", found.difference, 3)
        yield names[found.row], "p-holm", _p(found.adjusted)
    for place, verdict in enumerate(findings.verdicts, start=1):
        yield f"claim-{place}", "verdict", verdict.verdict
        yield from _estimate(f"claim-{place}", "effect", verdict.effect, 3)
        yield f"claim-{place}", "p-holm", _p(verdict.p)


def _estimate(row: str, key: str, value: Estimate, digits: int) -> Iterator[tuple[str, str, str]]:
    if math.isfinite(value.mean):
        yield row, key, _num(value.mean, digits)
    if math.isfinite(value.low):
        yield row, f"{key}-interval", f"[{_num(value.low, digits)}, {_num(value.high, digits)}]"


def _num(value: float, digits: int) -> str:
    return rf"\num{{{number(value, digits).replace(',', '')}}}"


def _p(p: float) -> str:
    text = p_text(p)
    return "undefined" if math.isnan(p) else rf"\ensuremath{{{text}}}" if "<" in text else rf"\num{{{text}}}"
