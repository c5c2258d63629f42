"""Claims held against the results: supported, refuted, equivalent or inconclusive, and what would settle them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.hypotheses import holm, holm_levels, p_above, p_below, p_equivalent, sign_flip
from analysis.power import MOST_SEEDS, Aim, patients_needed, seeds_needed
from analysis.resample import BootstrapConfig, Doubles
from analysis.statistics import Components, Estimate, SeedResamples, differences, estimate
from analysis.summary import KNN, Column, Row, Summary
from core.errors import did_you_mean
from sweeps.claim import Claim, check_claim, fail, find_row

SUPPORTED, REFUTED, EQUIVALENT, INCONCLUSIVE = "supported", "refuted", "equivalent", "inconclusive"
# Differences of a macro AUROC below this are taken as none, where a claim does not say.
MARGIN = 0.01


@dataclass(frozen=True)
class Tested:
    """p-values of one claim: that it holds, that its contrary holds, and that there is no difference to speak of."""

    holds: float = math.nan
    contrary: float = math.nan
    equivalent: float = math.nan


@dataclass(frozen=True)
class Verdict:
    """A claim and what the results say of it.

    effect: left - right over matched seeds, NaN without any. p: of what the verdict says, after Holm. p_flip: of the
    sign-flip test over the seeds. settle: what would settle it, "" when it is settled. missing: seeds without results.
    """

    claim: Claim
    margin: float
    verdict: str
    effect: Estimate
    p: float
    p_flip: float
    seeds: int
    missing: int
    settle: str

    @property
    def is_as_claimed(self) -> bool:
        """Whether the results say what the claim says."""
        return self.verdict == (EQUIVALENT if self.claim.relation == "=" else SUPPORTED)


@dataclass(frozen=True)
class _Measured:
    claim: Claim
    margin: float
    none: float
    difference: SeedResamples | None
    missing: int


def judge(summary: Summary, margin: float = MARGIN) -> list[Verdict]:
    """A verdict on every claim of an ablation, Holm's correction over all of them.

    margin: what counts as no difference where a claim gives none. Raises ClaimError for a claim that does not parse,
    a row or a label fraction that the table does not have.
    """
    measured = [_measure(text, summary, margin) for text in summary.collected.plan.claims]
    alone = [_test(found, summary.config) for found in measured]
    tested = _after_holm(alone)
    # What would settle a claim has to do so beside the others: at the level that Holm leaves it.
    levels = holm_levels([p.holds for p in alone], 1 - summary.config.level)
    patients = summary.collected.studies.n_patients if summary.collected.studies else 0
    return [
        _verdict(found, p, level, summary.config, patients)
        for found, p, level in zip(measured, tested, levels, strict=True)
    ]


def _measure(text: str, summary: Summary, margin: float) -> _Measured:
    cells = [row.cell for row in summary.rows]
    claim = check_claim(text, cells)
    left, right = (
        summary.rows[cells.index(find_row(claim, selector, cells))] for selector in (claim.left, claim.right)
    )
    known = {row.cell.name: found for row in summary.rows if (found := _resamples(claim, row, summary))}
    reference = known.get(right.cell.name)
    apart = differences(known, reference) if reference else {}
    difference = apart.get(left.cell.name)
    declared = set(left.cell.seeds) & set(right.cell.seeds)
    if difference is not None and not np.isfinite(difference.values[0]).all():
        difference = None
    common = set(difference.seeds) if difference else set()
    stated = margin if claim.margin is None and claim.relation == "=" else claim.margin or 0.0
    return _Measured(claim, stated, margin, difference, len(declared - common))


def _resamples(claim: Claim, row: Row, summary: Summary) -> SeedResamples | None:
    if claim.metric == "knn_macro_auroc":
        return row.resamples.get(KNN.key)
    column = _column(claim, summary)
    if claim.metric == "macro_auroc":
        return row.resamples.get(column.key)
    labels = summary.collected.studies.labels if summary.collected.studies else (claim.label,)
    place = claim.text.index(f"auroc[{claim.label}")
    if claim.label not in labels:
        fail(claim.text, place, len(claim.label) + 7, f"no label {claim.label!r}", did_you_mean(claim.label, labels))
    if column is not summary.main:
        hint = f"leave `at` out, or write at label_fraction={summary.main.fraction:g}"
        fail(claim.text, place, len(claim.label) + 7, "labels are compared at the greatest fraction only", hint)
    return row.label_resamples.get(claim.label)


def _column(claim: Claim, summary: Summary) -> Column:
    if claim.fraction is None:
        return summary.main
    for column in summary.fractions:
        if math.isclose(column.fraction, claim.fraction):
            return column
    known = ", ".join(f"{column.fraction:g}" for column in summary.fractions)
    place = claim.text.index("label_fraction=")
    return fail(
        claim.text,
        place,
        len(claim.text[place:].split()[0]),
        f"no result at label_fraction={claim.fraction:g}",
        f"measured: {known}",
    )


def _towards(claim: Claim, resampled: Doubles) -> Doubles:
    # So that the claim always says: above the margin.
    return -resampled if claim.relation == "<" else resampled


def _test(found: _Measured, config: BootstrapConfig) -> Tested:
    if found.difference is None:
        return Tested()
    resampled = _towards(found.claim, found.difference.over_seeds(config)[1:])
    margin = found.margin
    if found.claim.relation == "=":
        same = p_equivalent(resampled, margin)
        return Tested(same, min(1.0, 2 * min(p_above(resampled, margin), p_below(resampled, -margin))), same)
    # Twice the one-sided value: a verdict then agrees with the two-sided interval beside it.
    holds, contrary = (min(1.0, 2 * p) for p in (p_above(resampled, margin), p_below(resampled, margin)))
    return Tested(holds, contrary, p_equivalent(resampled, found.none))


def _after_holm(tested: Sequence[Tested]) -> list[Tested]:
    families = [holm([getattr(p, name) for p in tested]) for name in ("holds", "contrary", "equivalent")]
    return [Tested(*family) for family in zip(*families, strict=True)]


def _verdict(found: _Measured, p: Tested, level: float, config: BootstrapConfig, patients: int) -> Verdict:
    if found.difference is None:
        effect = Estimate(math.nan)
        settle = "results of both rows for one seed: run the sweep"
        return Verdict(found.claim, found.margin, INCONCLUSIVE, effect, math.nan, math.nan, 0, found.missing, settle)
    alpha = 1 - config.level
    verdict, value = _decide(found, p, alpha)
    flip = sign_flip(_towards(found.claim, found.difference.values[0]))
    effect = estimate(found.difference, config)
    settle = _settle(found, level, patients, config) if verdict == INCONCLUSIVE else ""
    seeds = len(found.difference.seeds)
    return Verdict(found.claim, found.margin, verdict, effect, value, flip, seeds, found.missing, settle)


def _decide(found: _Measured, p: Tested, alpha: float) -> tuple[str, float]:
    if found.claim.relation == "=":
        order = [(EQUIVALENT, p.equivalent), (REFUTED, p.contrary)]
    elif found.margin:
        # That there is no difference to speak of says more than that it is below the margin.
        order = [(SUPPORTED, p.holds), (EQUIVALENT, p.equivalent), (REFUTED, p.contrary)]
    else:
        order = [(SUPPORTED, p.holds), (REFUTED, p.contrary), (EQUIVALENT, p.equivalent)]
    return next(((name, value) for name, value in order if value < alpha), (INCONCLUSIVE, p.holds))


def _settle(found: _Measured, level: float, patients: int, config: BootstrapConfig) -> str:
    assert found.difference is not None
    size = float(_towards(found.claim, found.difference.values[:1].mean(axis=1))[0])
    bound = found.margin - abs(size) if found.claim.relation == "=" else size - found.margin
    parts = found.difference.components(config)
    return settle_text(Aim(abs(bound), level), parts, len(found.difference.seeds), patients)


def settle_text(aim: Aim, parts: Components, n_seeds: int, n_patients: int) -> str:
    """What would settle a claim with a power of 80 %, were the effect the one seen."""
    if aim.distance <= 0:
        return "nothing: the effect seen lies on the bound"
    if n_seeds == 1:
        return "two more seeds to begin with: one says nothing of how seeds vary"
    seeds, count = seeds_needed(aim, parts), patients_needed(aim, parts, n_seeds, n_patients)
    told = [f"{max(seeds, n_seeds + 1)} seeds"] if seeds else []
    told += [f"{max(count, n_patients + 1):,} patients"] if count else []
    return " or ".join(told) or f"more seeds and patients at once: neither {MOST_SEEDS} seeds alone nor any patients do"
