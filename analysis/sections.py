"""The sections of a report below its main table, as Markdown and as CSV."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.claims import Verdict
from analysis.comparisons import Comparison
from analysis.efficiency import Efficiency
from analysis.findings import Findings, Quality
from analysis.kinds.base import KindColumn, KindRow, KindTable, kind_names
from analysis.published import Published
from analysis.statistics import Estimate
from analysis.subgroups import GroupResult
from analysis.summary import Summary
from analysis.tables import NOT_APPLICABLE, escape_markdown, markdown, number, plain, written_csv
from sweeps.claim import find_row

CLAIM_HEAD = ["Claim", "Verdict", "Effect", "p", "Seeds", "What would settle it"]
CLAIM_NOTE = (
    "effect: left minus right, over the same patients and matched seeds; p: of the verdict (of the claim, where it is "
    "inconclusive), after Holm over the claims; what would settle it: for a power of 80 % at the level that Holm "
    "leaves the claim, were the effect the one seen"
)
SECTIONS = ("claims", "comparisons", "quality", "efficiency", "subgroups", "published", *kind_names())
FINDINGS_FILES = (
    "claims.csv",
    "comparisons.csv",
    "label_comparisons.csv",
    "quality.csv",
    "efficiency.csv",
    "subgroups.csv",
    *(f"{name}.csv" for name in kind_names()),
)
PUBLISHED_NOTE = "not our measurement: other data, other splits, other protocols"
POWER_NOTE = (
    "power: chance that a repetition with other seeds and patients, as many of both, is significant after Holm, were "
    "the effect the one seen; of the effect seen it says no more than p does"
)


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


@dataclass(frozen=True)
class Section:
    """A table below the main one, for every format.

    name: stem of its files. lines: the heading, then a line each. notes: plain text below it. behind: the names of the
    rows whose trials a number rests on, for every cell below the heading; () where it rests on none of ours.
    """

    name: str
    title: str
    lines: list[list[str]]
    notes: tuple[str, ...]
    behind: list[list[tuple[str, ...]]]


def sections(summary: Summary, findings: Findings) -> list[Section]:
    """The sections that have something to say; those of evaluations come last."""
    title = f"{summary.main.title} of labels"
    makers = [
        (findings.verdicts, lambda: _claims(summary, findings.verdicts)),
        (findings.comparisons, lambda: _comparisons(findings.comparisons, title)),
        (findings.quality, lambda: _quality(findings.quality, title)),
        (findings.efficiency, lambda: _efficiency(findings.efficiency, title)),
        (findings.subgroups, lambda: _subgroups(findings.subgroups, title)),
        (findings.published, lambda: _published(findings.published)),
    ]
    told = [make() for found, make in makers if found]
    return [*told, *(_kind(table) for table in findings.kinds)]


def markdown_section(section: Section) -> str:
    """A section of the Markdown page."""
    table = markdown([[escape_markdown(text) for text in line] for line in section.lines])
    linked = [f"[CSV]({section.name}.csv)"] if f"{section.name}.csv" in FINDINGS_FILES else []
    linked += ["per label, with DeLong's test: [CSV](label_comparisons.csv)"] if section.name == "comparisons" else []
    notes = "".join(f"- {note}\n" for note in [*map(escape_markdown, section.notes), *linked])
    return f"## {section.title}\n\n{table}\n{notes}"


def _by_line(lines: Sequence[Sequence[str]], rows: Sequence[tuple[str, ...]]) -> list[list[tuple[str, ...]]]:
    return [[names] * len(lines[0]) for names in rows]


def _claims(summary: Summary, verdicts: Sequence[Verdict]) -> Section:
    cells = [row.cell for row in summary.rows]
    rows = [
        tuple(find_row(v.claim, selector, cells).name for selector in (v.claim.left, v.claim.right)) for v in verdicts
    ]
    lines = claim_grid(verdicts)
    return Section("claims", "Claims", lines, (CLAIM_NOTE, *claim_notes(verdicts)), _by_line(lines, rows))


def _comparisons(found: Sequence[Comparison], title: str) -> Section:
    head = ["Row", f"Minus {found[0].reference}", "p", "p (Holm)", "p (sign flip)", "d", "P(better)", "Power", "Seeds"]
    lines = [
        [
            c.row,
            interval_text(c.difference, signed=True),
            p_text(c.p),
            p_text(c.adjusted),
            p_text(c.p_flip),
            number(c.effect, 2) or NOT_APPLICABLE,
            interval_text(c.improvement),
            number(c.power, 2) or NOT_APPLICABLE,
            str(c.seeds),
        ]
        for c in found
    ]
    notes = (
        "p: paired bootstrap over patients and seeds, two-sided; Holm over this table; sign flip: over matched "
        "seeds, never below 2 / 2^n for n of them",
        "d: mean over standard deviation of the seeds' differences; P(better): that a seed beats one of the "
        "reference on a label drawn at random",
        POWER_NOTE,
    )
    lines = [head, *lines]
    return Section(
        "comparisons",
        f"Paired differences, {title}",
        lines,
        notes,
        _by_line(lines, [(c.row, c.reference) for c in found]),
    )


def _quality(found: Sequence[Quality], title: str) -> Section:
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
        "IQM: interquartile mean of the AUROCs of all labels and seeds; AP, Brier, ECE (expected calibration error, "
        "10 bins): means over labels and seeds"
    )
    lines = [head, *lines]
    return Section(
        "quality", f"Beyond the mean AUROC, {title}", lines, (note,), _by_line(lines, [(q.row,) for q in found])
    )


def kind_grid(table: KindTable) -> list[list[str]]:
    """The table of an evaluation as text: a heading, then a line per row."""
    lines = [["Row", *(column.title for column in table.columns), "Seeds"]]
    for row in table.rows:
        seeds = str(row.found) if row.found == row.declared else f"{row.found} of {row.declared}"
        lines.append([row.row, *(_kind_cell(row, column) for column in table.columns), seeds])
    return lines


def _kind_cell(row: KindRow, column: KindColumn) -> str:
    if column.key not in row.estimates:
        return NOT_APPLICABLE
    text, mark = interval_text(row.estimates[column.key]), row.marks.get(column.key, "")
    return {"best": f"{text} (best)", "tie": f"{text} ≈"}.get(mark, text)


def _kind(table: KindTable) -> Section:
    lines = kind_grid(table)
    return Section(table.name, table.title, lines, table.notes, _by_line(lines, [(row.row,) for row in table.rows]))


def _efficiency(found: Sequence[Efficiency], title: str) -> Section:
    head = ["Row", "AUROC", "Device hours", "Images/s", "Peak memory, MiB", "Parameters, M", "Pareto front"]
    lines = [
        [
            e.row,
            interval_text(e.auroc),
            number(e.hours, 3) or NOT_APPLICABLE,
            number(e.images_per_second, 0) or NOT_APPLICABLE,
            number(e.memory / 2**20, 0) or NOT_APPLICABLE,
            number(e.parameters / 1e6, 2) or NOT_APPLICABLE,
            "yes" if e.is_on_front else "no",
        ]
        for e in found
    ]
    notes = (
        "means over seeds, of training; on the Pareto front: no other row has as high an AUROC for fewer device hours",
    )
    lines = [head, *lines]
    return Section("efficiency", f"Efficiency, {title}", lines, notes, _by_line(lines, [(e.row,) for e in found]))


def _subgroups(found: Sequence[GroupResult], title: str) -> Section:
    names = list(dict.fromkeys((g.by, g.name, g.n_studies, g.n_patients) for g in found))
    rows = list(dict.fromkeys(g.row for g in found))
    value: Mapping[tuple[str, str, str], Estimate] = {(g.by, g.name, g.row): g.estimate for g in found}
    head = ["Group", "Studies", "Patients", *rows]
    lines = [
        [f"{by}: {name}", f"{n:,}", f"{p:,}", *(interval_text(value[by, name, row]) for row in rows)]
        for by, name, n, p in names
    ]
    notes = ("macro AUROC over the labels that a group has both classes of",)
    behind: list[list[tuple[str, ...]]] = [[tuple(rows)] * 3 + [(row,) for row in rows] for _ in lines]
    return Section("subgroups", f"Subgroups, {title}", [head, *lines], notes, behind)


def _published(found: Sequence[Published]) -> Section:
    head = ["Method", "Setting", "Metric", "Value", "Source", "Note"]
    lines = [
        [e.method, e.setting, e.metric, "not known" if e.value is None else f"{e.value:g}", e.source, e.note]
        for e in found
    ]
    lines = [head, *lines]
    return Section("published", "Published numbers", lines, (PUBLISHED_NOTE,), _by_line(lines, [()] * len(found)))


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
        "efficiency.csv": [_efficiency_line(e) for e in findings.efficiency],
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
    numbers = _numbers(p=c.p, p_holm=c.adjusted, p_sign_flip=c.p_flip, effect_size=c.effect, power=c.power)
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


def _efficiency_line(e: Efficiency) -> dict[str, str]:
    numbers = _numbers(
        device_hours=e.hours,
        images_per_second=e.images_per_second,
        peak_memory_bytes=e.memory,
        parameters=e.parameters,
    )
    return {"row": e.row} | _estimate("auroc", e.auroc) | numbers | {"pareto_front": str(e.is_on_front).lower()}
