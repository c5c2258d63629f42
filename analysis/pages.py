"""The words of a report: captions, notes that a reviewer needs, and the Markdown pages around tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.collect import Collected, Hole
from analysis.plots.base import Drawn, sample_text
from analysis.sections import Section, markdown_section
from analysis.summary import Summary
from analysis.tables import LATEX, MARKDOWN, escape_markdown, grid, label_grid, markdown, marks_text
from sweeps.declared import DeclaredPlan


@dataclass(frozen=True)
class Page:
    """An ablation's page. table: its main table with notes, Markdown. caption, label_caption: for LaTeX, unescaped."""

    text: str
    table: str
    caption: str
    label_caption: str


def ablation_page(summary: Summary, figures: Sequence[Drawn], sections: Sequence[Section] = (), data: str = "") -> Page:
    """The page of one ablation. sections: the tables between the per-label table and where it all
    came from. data: the data card, if there is one."""
    plan = summary.collected.plan
    table = main_table(summary)
    parts = [
        f"# {plan.title}\n\n{plan.question}\n",
        table,
        *(figure_text(drawn) for drawn in figures),
        f"## Per label, {summary.main.title} of labels\n\n{markdown(label_grid(summary, MARKDOWN))}",
        *map(markdown_section, sections),
        f"## Reproducibility\n\n{bullets(reproducibility(summary))}",
        f"## Files\n\n{bullets(_files(sections, data))}",
    ]
    notes = " ".join(f"{note[:1].upper()}{note[1:]}." for note in notes_of(summary))
    return Page(
        text="\n".join(parts),
        table=table,
        caption=f"{plan.title}. {marks_text(LATEX).capitalize()}. {notes}",
        label_caption=f"{plan.title}: AUROC per label at {summary.main.title} of labels. {sample_text(summary)}.",
    )


def main_table(summary: Summary) -> str:
    """The main table in Markdown with its notes and, named one by one, its holes."""
    table = markdown(grid(summary, MARKDOWN))
    notes = bullets([marks_text(MARKDOWN), *notes_of(summary)])
    holes = summary.collected.holes
    return f"{table}\n{notes}" + (f"\n**Holes ({len(holes)})**\n\n{bullets(map(hole_line, holes))}" if holes else "")


def notes_of(summary: Summary) -> Iterator[str]:
    """What a reader must know to read the table: n, what an interval covers, what is left out."""
    yield sample_text(summary)
    yield interval_note(summary)
    yield "rows in italics are baselines; R@1 is frontal-to-lateral recall at 1"
    yield "columns without an interval are means over seeds"
    yield from _seed_notes(summary)
    yield from _label_notes(summary)
    if any(len(row.cell.trials) > len(row.cell.seeds) for row in summary.rows):
        yield f"a row that is trained anew at each label fraction shows its other columns at {summary.main.title}"


def interval_note(summary: Summary) -> str:
    """How the intervals were made."""
    config = summary.config
    kind = {"percentile": "percentile", "bca": "BCa"}[config.interval]
    what = f"{config.level:.0%} {kind} bootstrap intervals".replace("%", " %")
    return (
        f"brackets: {what} over seeds and patients (all studies of a patient together), {config.resamples:,} resamples"
    )


def _seed_notes(summary: Summary) -> Iterator[str]:
    entries = [row.entries[summary.main.key] for row in summary.rows]
    if any(entry.found == 1 for entry in entries):
        yield "a row with one seed has an interval over patients only: what another seed would give is not in it"
    if any(1 < entry.found < 3 for entry in entries):
        yield (
            "with fewer than three seeds the variation between seeds is known poorly, and mostly from the other rows: "
            "read those intervals with care"
        )


def _label_notes(summary: Summary) -> Iterator[str]:
    studies = summary.collected.studies
    if studies is None:
        return
    undefined = [
        label for place, label in enumerate(studies.labels) if studies.counts(place)[1] in (0, studies.counts(place)[0])
    ]
    if undefined:
        yield f"left out, with one class only among the test studies: {', '.join(undefined)}"
    for column in summary.fractions:
        counts = {row.entries[column.key].labels for row in summary.rows} - {0}
        total = len(studies.labels) - len(undefined)
        if counts and min(counts) < total:
            over = f"{min(counts)} to {max(counts)} of {total} labels"
            yield f"at {column.title} the macro is over {over}; the training labels hold one class of the rest"


def hole_line(hole: Hole) -> str:
    """A hole in words."""
    return escape_markdown(hole_text(hole))


def hole_text(hole: Hole) -> str:
    """A hole in plain words."""
    where = f"{hole.cell}, seed {hole.seed}, trial {hole.trial}" if hole.trial else hole.cell
    return f"{where}: {hole.reason}"


def reproducibility(summary: Summary) -> Iterator[str]:
    """Where the numbers come from."""
    collected, plan, config = summary.collected, summary.collected.plan, summary.config
    yield from origin(collected)
    if collected.provenance:
        yield f"label policy: `{collected.provenance.label_policy}`"
    yield f"evaluation settings `{plan.evaluation_key}`"
    yield f"bootstrap: {config.resamples:,} resamples, seed {config.seed}, level {config.level:g}"
    yield again(plan)


def origin(collected: Collected) -> Iterator[str]:
    """Data, code, and what of the plan is there."""
    origin, plan = collected.provenance, collected.plan
    if origin:
        counts = ", ".join(f"{name} {n:,}" for name, n in sorted(origin.n_studies.items()))
        yield f"data: {origin.data}, fingerprint `{origin.fingerprint}`; studies: {counts}"
        yield f"code: {', '.join(f'`{code}`' for code in origin.codes)}" + (
            " (**more than one version**)" if len(origin.codes) > 1 else ""
        )
    else:
        yield "data, code: no result yet"
    yield f"ablation `{plan.ablation}`, preset `{plan.preset or 'none'}`, seeds {', '.join(map(str, plan.seeds))}"
    if plan.overrides:
        yield f"overrides: `{' '.join(plan.overrides)}`"
    declared = sum(len(cell.trials) for cell in plan.cells)
    yield f"trials: {len(collected.results)} of {declared}; holes: {len(collected.holes)}"


def again(plan: DeclaredPlan) -> str:
    """What to type for the same."""
    return f"again: `viewpair sweep ablation={plan.ablation}`, then `viewpair report ablation={plan.ablation}`"


def index_page(main: Summary | None, figure: Drawn | None, reported: Sequence[DeclaredPlan]) -> str:
    """The page over all ablations, the main comparison on top, if there is one."""
    links = [f"[{p.title}]({p.ablation}/report.md): {p.question}" for p in reported]
    listed = f"## Ablations\n\n{bullets(links)}"
    if main is None:
        return f"# viewpair report\n\n{listed}"
    plan = main.collected.plan
    parts = [f"# viewpair report\n\n## {plan.title}\n\n{plan.question}\n", main_table(main)]
    parts += [figure_text(figure)] if figure else []
    parts += [listed, f"## Reproducibility\n\n{bullets(reproducibility(main))}"]
    return "\n".join(parts)


def figure_text(drawn: Drawn) -> str:
    """A figure with its caption."""
    name = drawn.name
    return f"![{name}]({name}.png)\n\n{drawn.caption} ([PDF]({name}.pdf), [SVG]({name}.svg))\n"


def _files(sections: Sequence[Section], data: str) -> Iterator[str]:
    yield "this page with sortable tables, every number with its trials, for any browser: [HTML](report.html)"
    yield "the table: [Markdown](table.md), [CSV](table.csv), [LaTeX](table.tex)"
    yield "per label: [CSV](labels.csv) of all rows, [LaTeX](labels.tex)"
    others = ", ".join(f"[{section.name}]({section.name}.tex)" for section in sections)
    yield from [f"LaTeX: {others}"] if others else []
    yield from ["what the data set holds, and the pairs that were formed: [data card](data.md)"] if data else []
    yield "every metric of every trial: [Parquet](results.parquet)"


def bullets(lines: Iterator[str] | Sequence[str]) -> str:
    """A list."""
    return "".join(f"- {line}\n" for line in lines)
