"""Two things side by side: two trials, two rows of a table or two sweeps; what differs in config and in result."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.collect import Collected, ResultReader, collect
from analysis.hypotheses import p_unequal
from analysis.pages import hole_text
from analysis.resample import BootstrapConfig
from analysis.sections import interval_text, p_text
from analysis.statistics import SeedResamples, differences, estimate
from analysis.summary import Bootstrap, Column, Row, Summary, summarise
from analysis.tables import NOT_APPLICABLE, heading, number
from core.errors import UserError, did_you_mean
from core.identity import differences as config_differences
from core.identity import flatten
from core.measures.base import QUALITY
from sweeps.declared import DeclaredCell, DeclaredPlan, declared_names, read_plan

SHORTEST_ID = 4


@dataclass(frozen=True)
class Side:
    """One of the two. rows: what is compared, by name; one row where a trial or a row was asked for."""

    kind: str
    name: str
    summary: Summary
    rows: Mapping[str, Row]


@dataclass(frozen=True)
class Compared:
    """What differs. config: 'field: A -> B'. lines: a heading, then a line per number. notes: what to know of them."""

    title: str
    config: tuple[str, ...]
    lines: list[list[str]]
    notes: tuple[str, ...]


def compare_two(root: Path, first: str, second: str, names: Sequence[str], config: BootstrapConfig) -> Compared:
    """Compare two trials (the beginning of an id), two rows (a name, or a method that one row has) or two ablations.

    names: ablations to look in for trials and rows. Raises UserError for what is not found, found twice, or of two
    kinds.
    """
    reader, bootstrap = ResultReader(root), Bootstrap(config)
    plans = [plan for name in names if (plan := read_plan(root, name)).measure == QUALITY]
    sides = [_side(word, root, plans, reader, bootstrap) for word in (first, second)]
    if sides[0].kind != sides[1].kind:
        raise UserError(
            f"{first} is a {sides[0].kind}, {second} a {sides[1].kind}", "compare two trials, two rows or two ablations"
        )
    if sides[0].kind == "ablation":
        return _ablations(sides[0], sides[1])
    return _rows(sides[0], sides[1])


def _side(word: str, root: Path, plans: Sequence[DeclaredPlan], reader: ResultReader, bootstrap: Bootstrap) -> Side:
    if word in declared_names(root):
        summary = summarise(collect(reader, read_plan(root, word)), bootstrap)
        return Side("ablation", word, summary, {row.cell.name: row for row in summary.rows})
    found = [(plan, cell) for plan in plans for cell in matching(plan, word)]
    if not found:
        rows = sorted({cell.name for plan in plans for cell in plan.cells})
        raise UserError(
            f"{word}: no ablation, no row and no trial of that name",
            did_you_mean(word, [*rows, *declared_names(root)]),
        )
    if len({cell.name for _, cell in found}) > 1:
        told = ", ".join(f"{cell.name} ({plan.ablation})" for plan, cell in found[:6])
        raise UserError(f"{word} is more than one row: {told}", "write the row's whole name")
    plan, cell = found[0]
    collected = collect(reader, replace(plan, cells=(cell,), claims=(), axes={}))
    if not collected.results:
        raise UserError(
            f"{word}: there is no result; {collected.holes[0].reason}", f"`viewpair status ablation={plan.ablation}`"
        )
    summary = summarise(collected, bootstrap)
    is_trial = cell.name not in {known.name for known in plan.cells}
    return Side("trial" if is_trial else "row", cell.name, summary, {cell.name: summary.rows[0]})


def matching(plan: DeclaredPlan, word: str) -> Iterator[DeclaredCell]:
    """Rows of a plan that a word names: by their name, else the one trial whose id it begins, else by their method."""
    named = [cell for cell in plan.cells if cell.name.lower() == word.lower()]
    if named:
        yield from named
        return
    if len(word) >= SHORTEST_ID:
        trials = {t.id: (cell, t) for cell in plan.cells for t in cell.trials if t.id.startswith(word)}
        yield from (replace(cell, name=f"trial {t.id}", trials=(t,)) for cell, t in trials.values())
        if trials:
            return
    yield from (cell for cell in plan.cells if cell.method == word)


def _rows(first: Side, second: Side) -> Compared:
    left, right = (next(iter(side.rows.values())) for side in (first, second))
    config = tuple(_config_differences(first.summary.collected, second.summary.collected))
    lines = [["Number", left.cell.name, right.cell.name, "A minus B", "p"]]
    lines += [
        line
        for column in first.summary.columns
        if column.key in right.entries and (line := _line(column, first, left, second, right))
    ]
    for label in left.labels:
        if label in right.labels:
            lines.append(_label_line(label, first, left, second, right))
    return Compared(f"A: {left.cell.name}; B: {right.cell.name}", config, lines, tuple(_notes(first, second)))


def _line(column: Column, first: Side, left: Row, second: Side, right: Row) -> list[str] | None:
    a, b = left.entries[column.key], right.entries[column.key]
    if a.is_empty and b.is_empty:
        return None
    texts = [
        interval_text(entry.estimate) if column.metric is None else number(entry.estimate.mean, column.digits)
        for entry in (a, b)
    ]
    apart, p = _difference(first, left.resamples.get(column.key), second, right.resamples.get(column.key))
    if column.metric is not None and not (a.is_empty or b.is_empty):
        apart = f"{a.estimate.mean - b.estimate.mean:+,.{column.digits}f}"
    return [heading(column), *(text or NOT_APPLICABLE for text in texts), apart, p]


def _label_line(label: str, first: Side, left: Row, second: Side, right: Row) -> list[str]:
    texts = [interval_text(row.labels[label].estimate) for row in (left, right)]
    apart = _difference(first, left.label_resamples.get(label), second, right.label_resamples.get(label))
    return [f"AUROC {label}", *texts, *apart]


def _difference(first: Side, left: SeedResamples | None, second: Side, right: SeedResamples | None) -> tuple[str, str]:
    """The paired difference with its interval, and its p; dashes where nothing pairs."""
    none = NOT_APPLICABLE, NOT_APPLICABLE
    if left is None or right is None or not paired(first, second):
        return none
    if len(left.seeds) == len(right.seeds) == 1:
        # One trial each: their seeds need not be the same to be held against each other.
        right = replace(right, seeds=left.seeds)
    apart = differences({"A": left, "B": right}, right).get("A")
    if apart is None or not math.isfinite(apart.values[0].mean()):
        return none
    config = first.summary.config
    return interval_text(estimate(apart, config), signed=True), p_text(p_unequal(apart.over_seeds(config)[1:]))


def paired(first: Side, second: Side) -> bool:
    """Whether both were measured on the same test studies."""
    mine, theirs = first.summary.collected.studies, second.summary.collected.studies
    return mine is not None and theirs is not None and mine.same_as(theirs)


def _notes(first: Side, second: Side) -> Iterator[str]:
    config = first.summary.config
    yield f"brackets: {config.level:.0%} bootstrap intervals".replace("%", " %") + "; p: two-sided, not corrected"
    if not paired(first, second):
        yield "the two were measured on other test studies: their differences are not paired, and no p is given"
    for side in (first, second):
        for hole in side.summary.collected.holes:
            yield f"hole: {hole_text(hole)}"


def _config_differences(first: Collected, second: Collected) -> list[str]:
    """Settings in which two rows differ, those in which a row's own trials differ (its seeds) left out."""
    mine, theirs = _settings(first), _settings(second)
    return config_differences(mine, theirs)


def _settings(collected: Collected) -> dict[str, Any]:
    flat = [flatten(loaded.result.config) for loaded in collected.results.values()]
    shared = {k: v for k, v in flat[0].items() if all(other.get(k) == v for other in flat)} if flat else {}
    return shared | ({"data fingerprint": collected.provenance.fingerprint} if collected.provenance else {})


def _ablations(first: Side, second: Side) -> Compared:
    mine, theirs = (_declared(side.summary.collected.plan) for side in (first, second))
    config = config_differences(mine, theirs)
    config += config_differences(*(_settings(side.summary.collected) for side in (first, second)))
    column = first.summary.main
    lines = [["Row", f"{first.name} (A)", f"{second.name} (B)", "A minus B", "p"]]
    for name in [*first.rows, *(name for name in second.rows if name not in first.rows)]:
        rows = [side.rows.get(name) for side in (first, second)]
        texts = [_main_text(row, side) for row, side in zip(rows, (first, second), strict=True)]
        samples = [
            row.resamples.get(side.summary.main.key) if row else None
            for row, side in zip(rows, (first, second), strict=True)
        ]
        lines.append([name, *texts, *_difference(first, samples[0], second, samples[1])])
    notes = (f"macro AUROC at {column.title} of labels", *_notes(first, second))
    return Compared(f"A: {first.name}; B: {second.name}", tuple(config), lines, notes)


def _main_text(row: Row | None, side: Side) -> str:
    return "not declared" if row is None else interval_text(row.entries[side.summary.main.key].estimate)


def _declared(plan: DeclaredPlan) -> dict[str, Any]:
    axes = {f"axis {key}": list(values) for key, values in plan.axes.items()}
    return {"preset": plan.preset, "seeds": list(plan.seeds), "overrides": " ".join(plan.overrides), **axes}
