"""The sections of a report below its main table, as Markdown and as CSV."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from analysis.claims import Verdict
from analysis.comparisons import Comparison
from analysis.findings import Findings, Quality
from analysis.kinds.base import KindColumn, KindRow, KindTable, kind_names
from analysis.published import Published
from analysis.statistics import Estimate
from analysis.subgroups import GroupResult
from analysis.summary import Summary
from analysis.tables import NOT_APPLICABLE, escape_markdown, markdown, number, plain, written_csv

CLAIM_HEAD = ["Claim", "Verdict", "Effect", "p", "Seeds", "What would settle it"]
CLAIM_NOTE = (
    "effect: left minus right, over the same patients and matched seeds; p: of the verdict (of the claim, where it is "
    "inconclusive), after Holm over the claims; what would settle it: for a power of 80 %, were the effect the one seen"
)
FINDINGS_FILES = (
    *("claims.csv", "comparisons.csv", "label_comparisons.csv", "quality.csv", "subgroups.csv"),
    *(f"{name}.csv" for name in kind_names()),
)
PUBLISHED_NOTE = "**not our measurement**: other data, other splits, other protocols"


def p_text(p: float) -> str:
    """A p-value as people read it."""
    if math.isnan(p):
        return NOT_APPLICABLE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def interval_text(value: Estimate, signed: bool = False) -> str:
    """A mean with its interval; signed: with a plus where it is above 0, for differences."""
    if not math.isfinite(value.mean):
        return NOT_APPLICABLE
    form = "{:+.3f}" if signed else "{:.3f}"
    text = form.format(value.mean)
    return text + f" [{form.format(value.low)}, {form.format(value.high)}]" if math.isfinite(value.low) else text


def seeds_text(verdict: Verdict) -> str:
    """How many matched seeds a verdict rests on, and what is missing."""
    missing = f", {verdict.missing} missing" if verdict.missing else ""
    return f"{verdict.seeds}{' (patients only)' if verdict.seeds == 1 else ''}{missing}"


def claim_grid(verdicts: Sequence[Verdict]) -> list[list[str]]:
    """A line per claim."""
    return [
        CLAIM_HEAD,
        *(
            [
                v.claim.text,
                v.verdict,
                interval_text(v.effect, signed=True),
                p_text(v.p),
                seeds_text(v),
                v.settle or NOT_APPLICABLE,
            ]
            for v in verdicts
        ),
    ]


def claims_console(summary: Summary, verdicts: Sequence[Verdict]) -> str:
    """The claims of an ablation for a terminal."""
    from tabulate import tabulate

    head, *lines = claim_grid(verdicts)
    widths = [44, None, None, None, None, 30]
    table = tabulate(lines, headers=head, disable_numparse=True, maxcolwidths=widths)
    plan = summary.collected.plan
    warning = "".join(f"\n{note}" for note in claim_notes(verdicts))
    return f"{plan.title} (ablation {plan.ablation}): claims\n\n{table}\n\n{CLAIM_NOTE}{warning}"


def claim_notes(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Warnings that belong under a table of claims."""
    if any(v.seeds == 1 for v in verdicts):
        yield "with one seed a verdict is about these patients only: what another seed would give is not in it"
    if any(v.seeds == 2 for v in verdicts):
        yield "with fewer than three seeds the variation between seeds is hardly known, and intervals are wide for it"
    if any(v.missing for v in verdicts):
        yield "results are missing: those seeds are left out of the verdicts"


def sections(summary: Summary, findings: Findings) -> list[str]:
    """The Markdown sections that have something to say."""
    title = summary.main.title
    found = []
    if findings.verdicts:
        notes = "".join(f"- {note}\n" for note in [CLAIM_NOTE, *claim_notes(findings.verdicts)])
        found.append(f"## Claims\n\n{_markdown(claim_grid(findings.verdicts))}\n{notes}")
    if findings.comparisons:
        found.append(f"## Paired differences, {title} of labels\n\n{_comparisons(findings.comparisons)}")
    if findings.quality:
        found.append(f"## Beyond the mean AUROC, {title} of labels\n\n{_quality(findings.quality)}")
    found += [f"## {table.title}\n\n{kind_text(table)}" for table in findings.kinds]
    if findings.subgroups:
        found.append(f"## Subgroups, {title} of labels\n\n{_subgroups(findings.subgroups)}")
    if findings.published:
        found.append(f"## Published numbers\n\n{PUBLISHED_NOTE}\n\n{_published(findings.published)}")
    return found


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return markdown([[escape_markdown(text) for text in line] for line in lines])


def _comparisons(found: Sequence[Comparison]) -> str:
    head = ["Row", f"Minus {found[0].reference}", "p", "p (Holm)", "p (sign flip)", "d", "P(better)", "Seeds"]
    lines = [
        [
            c.row,
            interval_text(c.difference, signed=True),
            p_text(c.p),
            p_text(c.adjusted),
            p_text(c.p_flip),
            number(c.effect, 2) or NOT_APPLICABLE,
            interval_text(c.improvement),
            str(c.seeds),
        ]
        for c in found
    ]
    notes = (
        "- p: paired bootstrap over patients and seeds, two-sided; Holm over this table; sign flip: over matched "
        "seeds, never below 2 / 2^n for n of them\n"
        "- d: mean over standard deviation of the seeds' differences; P(better): that a seed beats one of the "
        "reference on a label drawn at random\n"
        "- per label, with DeLong's test: [CSV](label_comparisons.csv); this table: [CSV](comparisons.csv)\n"
    )
    return f"{_markdown([head, *lines])}\n{notes}"


def _quality(found: Sequence[Quality]) -> str:
    views = [view for view in found[0].views if all(view in q.views for q in found)]
    head = ["Row", "IQM", "AP", "Brier", "ECE", *(f"AUROC {view} only" for view in views)]
    lines = [
        [
            q.row,
            interval_text(q.interquartile),
            *(number(value, 3) or NOT_APPLICABLE for value in (q.ap, q.brier, q.calibration_error)),
            *(number(q.views[view], 3) for view in views),
        ]
        for q in found
    ]
    note = (
        "- IQM: interquartile mean of the AUROCs of all labels and seeds; AP, Brier, ECE (expected calibration error, "
        "10 bins): means over labels and seeds. [CSV](quality.csv)\n"
    )
    return f"{_markdown([head, *lines])}\n{note}"


def kind_grid(table: KindTable) -> list[list[str]]:
    """The table of an evaluation as text: a heading, then a line per row."""
    lines = [["Row", *(column.title for column in table.columns), "Seeds"]]
    for row in table.rows:
        seeds = str(row.found) if row.found == row.declared else f"{row.found} of {row.declared}"
        lines.append([escape_markdown(row.row), *(_kind_cell(row, column) for column in table.columns), seeds])
    return lines


def _kind_cell(row: KindRow, column: KindColumn) -> str:
    if column.key not in row.estimates:
        return NOT_APPLICABLE
    text, mark = escape_markdown(interval_text(row.estimates[column.key])), row.marks.get(column.key, "")
    return {"best": f"**{text}**", "tie": f"{text} ≈"}.get(mark, text)


def kind_text(table: KindTable) -> str:
    """The table of an evaluation in Markdown with its notes."""
    notes = "".join(f"- {note}\n" for note in (*table.notes, f"this table: [CSV]({table.name}.csv)"))
    return f"{markdown(kind_grid(table))}\n{notes}"


def _subgroups(found: Sequence[GroupResult]) -> str:
    names = list(dict.fromkeys((g.by, g.name, g.n_studies, g.n_patients) for g in found))
    rows = list(dict.fromkeys(g.row for g in found))
    value: Mapping[tuple[str, str, str], Estimate] = {(g.by, g.name, g.row): g.estimate for g in found}
    head = ["Group", "Studies", "Patients", *rows]
    lines = [
        [f"{by}: {name}", f"{n:,}", f"{p:,}", *(interval_text(value[by, name, row]) for row in rows)]
        for by, name, n, p in names
    ]
    note = "- macro AUROC over the labels that a group has both classes of. [CSV](subgroups.csv)\n"
    return f"{_markdown([head, *lines])}\n{note}"


def _published(found: Sequence[Published]) -> str:
    head = ["Method", "Setting", "Metric", "Value", "Source", "Note"]
    lines = [
        [e.method, e.setting, e.metric, "not known" if e.value is None else f"{e.value:g}", e.source, e.note]
        for e in found
    ]
    return _markdown([head, *lines])


def csv_files(findings: Findings) -> dict[str, str]:
    """File name -> content, for every section that has something to say."""
    files = {
        "claims.csv": [_claim_line(v) for v in findings.verdicts],
        "comparisons.csv": [_comparison_line(c) for c in findings.comparisons],
        "label_comparisons.csv": [
            {"row": c.row, "label": c.label}
            | _numbers(difference=c.difference, error=c.error, p=c.p, p_holm=c.adjusted)
            for c in findings.label_comparisons
        ],
        "quality.csv": [_quality_line(q) for q in findings.quality],
        "subgroups.csv": [
            {"row": g.row, "by": g.by, "group": g.name, "n_studies": str(g.n_studies), "n_patients": str(g.n_patients)}
            | _estimate("auroc", g.estimate)
            for g in findings.subgroups
        ],
    }
    files |= {f"{table.name}.csv": [_kind_line(row, table) for row in table.rows] for table in findings.kinds}
    return {
        name: written_csv([list(lines[0]), *(list(line.values()) for line in lines)])
        for name, lines in files.items()
        if lines
    }


def _numbers(**values: float) -> dict[str, str]:
    return {name: plain(value) for name, value in values.items()}


def _estimate(name: str, value: Estimate) -> dict[str, str]:
    return _numbers(**{name: value.mean, f"{name}_low": value.low, f"{name}_high": value.high})


def _claim_line(v: Verdict) -> dict[str, str]:
    told = {"claim": v.claim.text, "verdict": v.verdict, "as_claimed": str(v.is_as_claimed).lower()}
    numbers = _estimate("effect", v.effect) | _numbers(p_holm=v.p, p_sign_flip=v.p_flip, margin=v.margin)
    return told | numbers | {"seeds": str(v.seeds), "missing": str(v.missing), "settle": v.settle}


def _comparison_line(c: Comparison) -> dict[str, str]:
    numbers = _numbers(p=c.p, p_holm=c.adjusted, p_sign_flip=c.p_flip, effect_size=c.effect)
    told = {"row": c.row, "reference": c.reference, "seeds": str(c.seeds)}
    return told | _estimate("difference", c.difference) | numbers | _estimate("improvement", c.improvement)


def _kind_line(row: KindRow, table: KindTable) -> dict[str, str]:
    nothing = Estimate(math.nan)
    line = {"row": row.row, "seeds": str(row.found), "declared_seeds": str(row.declared)}
    for column in table.columns:
        line |= _estimate(column.key, row.estimates.get(column.key, nothing))
        line |= {f"{column.key}_mark": row.marks.get(column.key, "")} if column.best else {}
    return line


def _quality_line(q: Quality) -> dict[str, str]:
    numbers = _numbers(ap=q.ap, brier=q.brier, ece=q.calibration_error)
    views = {f"auroc_{view}": plain(q.views.get(view, math.nan)) for view in ("frontal", "lateral")}
    return {"row": q.row} | _estimate("iqm", q.interquartile) | numbers | views
