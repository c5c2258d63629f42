"""Every row of a table against its reference, over the same patients and matched seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.aggregates import interquartile_mean, over_runs, probability_of_improvement, resample_runs
from analysis.collect import Collected
from analysis.delong import Placements, delong_of, placed
from analysis.hypotheses import holm, holm_levels, p_unequal, sign_flip
from analysis.power import Aim, power_of
from analysis.resample import BootstrapConfig, Doubles, Scores
from analysis.scores import ScoreKey
from analysis.statistics import Estimate, SeedResamples, differences, estimate
from analysis.summary import Row, Summary


@dataclass(frozen=True)
class Comparison:
    """A row against the reference at the main label fraction.

    difference: of the macro AUROC, row - reference. p: two-sided, by the paired bootstrap; adjusted: after Holm over
    the table. p_flip: of the sign-flip test over matched seeds. effect: the difference in standard deviations between
    seeds of the paired differences (Cohen's d_z), NaN for fewer than two seeds. improvement: probability that a seed of
    the row beats one of the reference on a label drawn at random. power: of a repetition, after Holm, were the effect
    the one seen; NaN for one seed.
    """

    row: str
    reference: str
    seeds: int
    difference: Estimate
    p: float
    adjusted: float
    p_flip: float
    effect: float
    improvement: Estimate
    power: float = math.nan


@dataclass(frozen=True)
class LabelComparison:
    """A row against the reference on one label. p: of DeLong's test on the seeds' mean AUROC; adjusted: after Holm."""

    row: str
    label: str
    difference: float
    error: float
    p: float
    adjusted: float


def reference_of(summary: Summary) -> Row | None:
    """The row that others are held against: the first baseline, where there are cells too, else the first row."""
    known = [row for row in summary.rows if summary.main.key in row.resamples]
    roles = {row.cell.role for row in summary.rows}
    baselines = [row for row in known if row.cell.role == "baseline"] if len(roles) > 1 else []
    return next(iter([*baselines, *known]), None)


def compare(summary: Summary) -> list[Comparison]:
    """Every other row with a seed in common against the reference."""
    reference = reference_of(summary)
    others = _others(summary, reference) if reference else []
    if reference is None or not others:
        return []
    key = summary.main.key
    rows = {row.cell.name: row.resamples[key] for row in summary.rows if key in row.resamples}
    apart = differences(rows, reference.resamples[key])
    runs = resample_runs(by_label(reference, summary.config), summary.config, salt=1)
    found = [_compare(row, reference, runs, apart[row.cell.name], summary) for row in others]
    adjusted = holm([comparison.p for comparison in found])
    levels = holm_levels([comparison.p for comparison in found], 1 - summary.config.level)
    return [
        replace(comparison, adjusted=p, power=_power(comparison, apart[comparison.row], level, summary.config))
        for comparison, p, level in zip(found, adjusted, levels, strict=True)
    ]


def _power(found: Comparison, apart: SeedResamples, level: float, config: BootstrapConfig) -> float:
    size = abs(found.difference.mean)
    if found.seeds < 2 or not math.isfinite(level) or not size:
        return math.nan
    return power_of(Aim(size, level), apart.components(config), found.seeds)


def _others(summary: Summary, reference: Row) -> list[Row]:
    key = summary.main.key
    seeds = set(reference.resamples[key].seeds)
    return [
        r for r in summary.rows if r is not reference and key in r.resamples and seeds & set(r.resamples[key].seeds)
    ]


def _compare(
    row: Row, reference: Row, reference_runs: Doubles, difference: SeedResamples, summary: Summary
) -> Comparison:
    config = summary.config
    by_seed = difference.values[0]
    deviation = float(by_seed.std(ddof=1)) if len(by_seed) > 1 else 0.0
    runs = [resample_runs(by_label(row, config), config), reference_runs]
    return Comparison(
        row=row.cell.name,
        reference=reference.cell.name,
        seeds=len(by_seed),
        difference=estimate(difference, config),
        p=p_unequal(difference.over_seeds(config)[1:]),
        adjusted=math.nan,
        p_flip=sign_flip(by_seed),
        effect=float(by_seed.mean()) / deviation if deviation else math.nan,
        improvement=over_runs(probability_of_improvement(*runs), [r.shape[1] for r in runs], config),
    )


def by_label(row: Row, config: BootstrapConfig) -> Doubles:
    """AUROC of a row at the main fraction in every resample: [1 + resamples, n, L], of the labels that are defined."""
    defined = [found.values for found in row.label_resamples.values() if np.isfinite(found.values[0]).all()]
    return np.stack(defined, axis=2)[: 1 + config.resamples]


def row_aggregates(summary: Summary) -> dict[str, Estimate]:
    """Row -> interquartile mean over labels and seeds at the main fraction."""
    found = {}
    for row in summary.rows:
        if row.label_resamples:
            runs = resample_runs(by_label(row, summary.config), summary.config)
            found[row.cell.name] = over_runs(interquartile_mean(runs), [runs.shape[1]], summary.config)
    return found


def compare_labels(summary: Summary) -> list[LabelComparison]:
    """Every other row against the reference on each label, by DeLong's test; Holm over all of them."""
    reference = reference_of(summary)
    studies = summary.collected.studies
    if reference is None or studies is None:
        return []
    found = []
    known: dict[tuple[int, ...], list[Placements | None]] = {}
    for row in _others(summary, reference):
        seeds = _common_seeds(summary, row, reference)
        if seeds not in known:
            known[seeds] = _placed(summary, reference, seeds)
        pairs = zip(studies.labels, studies.truth.T, _placed(summary, row, seeds), known[seeds], strict=True)
        for label, truth, first, second in pairs:
            test = delong_of(truth, first, second, studies.patient)
            found.append(LabelComparison(row.cell.name, label, test.difference, test.error, test.p, math.nan))
    adjusted = holm([comparison.p for comparison in found])
    return [replace(comparison, adjusted=p) for comparison, p in zip(found, adjusted, strict=True)]


def _common_seeds(summary: Summary, first: Row, second: Row) -> tuple[int, ...]:
    key = summary.main.key
    return tuple(seed for seed in first.resamples[key].seeds if seed in second.resamples[key].seeds)


def _placed(summary: Summary, row: Row, seeds: Sequence[int]) -> list[Placements | None]:
    assert summary.collected.studies is not None
    by_label = np.ascontiguousarray(seed_scores(summary, row, seeds).transpose(2, 0, 1))
    return [placed(truth, scores) for truth, scores in zip(summary.collected.studies.truth.T, by_label, strict=True)]


def seed_scores(summary: Summary, row: Row, seeds: Sequence[int]) -> Scores:
    """Scores [K, S, L] of a row at the main fraction: all draws of all trials of these seeds."""
    fraction = summary.main.fraction
    key: ScoreKey = (row.cell.evaluation, fraction)
    trials = [trial for trial in row.cell.trials_at(fraction) if trial.seed in seeds]
    return np.concatenate([_scores(summary.collected, trial.id, key) for trial in trials])


def _scores(collected: Collected, trial: str, key: ScoreKey) -> Scores:
    return collected.results[trial].scores[key]
