"""Means over seeds with their uncertainty: patients by bootstrap, seeds by what is known of their variance.

Every row of a table is resampled with the same patients and the same random numbers, so that the difference of two
rows is a paired bootstrap at no further cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, TypeVar

import numpy as np

from analysis.intervals import acceleration_of, bca_interval, percentile_interval
from analysis.moderate import NO_PRIOR, SeedPrior, seed_prior
from analysis.resample import BootstrapConfig, Doubles

Key = TypeVar("Key")


@dataclass(frozen=True)
class Estimate:
    """A mean and its interval; NaN means undefined.

    covers: what the interval is over: "seeds and patients", "patients" (one seed), or "" (no interval).
    """

    mean: float
    low: float = float("nan")
    high: float = float("nan")
    covers: str = ""


@dataclass(frozen=True)
class Components:
    """Variances of the mean over seeds of one statistic.

    patients: of the patients' effect that all seeds share. seeds: between seeds, were there endless patients.
    both: between seeds because each meets this sample of patients in its own way (the interaction).
    """

    patients: float
    seeds: float
    both: float

    def variance(self, n_seeds: int, times_patients: float = 1.0) -> float:
        """Variance of the mean over `n_seeds` seeds with `times_patients` as many patients as there were."""
        return (self.patients + self.both / n_seeds) / times_patients + self.seeds / n_seeds


@dataclass(frozen=True)
class SeedResamples:
    """One statistic of one row of a table: a value per resample and seed.

    seeds: the n seeds. values: [R, n]; row 0 holds what was measured, the next `resamples` rows the resampled
    patients, and with BCa the rest leaves one patient out each. limits: what the statistic cannot leave. prior: what
    other rows tell of the variance between seeds.
    """

    seeds: tuple[int, ...]
    values: Doubles
    limits: tuple[float, float] = (0.0, 1.0)
    prior: SeedPrior = NO_PRIOR

    def over_seeds(self, config: BootstrapConfig) -> Doubles:
        """What the mean over seeds may have been, [1 + resamples]; entry 0 is what was measured.

        Each entry is the mean over the seeds for one resample of the patients, plus, with more than one seed, a
        draw for the seeds: normal, with a variance between seeds that is itself drawn from what n seeds tell of it.
        """
        kept = slice(0, 1 + config.resamples)
        means: Doubles = self.values[kept].mean(axis=1)
        if len(self.seeds) > 1:
            means[1:] = np.clip(means[1:] + self._seed_draws(config), *self.limits)
        return means

    def _seed_draws(self, config: BootstrapConfig) -> Doubles:
        # A generalised pivotal quantity (Weerahandi 1995, ch. 7): the variance of the measured values around their
        # mean has n - 1 degrees of freedom and holds the interaction, which the patients' resamples have already.
        # With endless patients this is Student's t. Weighing the seeds themselves at random counts the interaction
        # three times (Owen 2007) and, with three seeds, understates the variance between seeds: 81 % for 95 %.
        n = len(self.seeds)
        variance, freedom = self.prior.moderated(self.between, n - 1)
        normal, chi_square = _standard_draws(config.seed, n, freedom, config.resamples)
        drawn = freedom * variance / chi_square - self.interaction(config)
        draws: Doubles = normal * np.sqrt(np.maximum(drawn, 0) / n)
        return draws

    @cached_property
    def between(self) -> float:
        """Variance of the measured values between seeds, n - 1 in the denominator; NaN for one seed."""
        return float(self.values[0].var(ddof=1)) if len(self.seeds) > 1 else float("nan")

    def interaction(self, config: BootstrapConfig) -> float:
        """How much of the variance between seeds comes from this sample of patients; NaN for one seed."""
        n = len(self.seeds)
        if n == 1:
            return float("nan")
        values = self.values[1 : 1 + config.resamples]
        apart = values - values.mean(axis=1, keepdims=True)
        if not np.isfinite(apart).any():
            return float("nan")
        if np.isfinite(apart[:, 0]).all():
            # The same number in a third of the time.
            return float(apart.var(axis=0).sum() / (n - 1))
        return float(np.nanvar(apart, axis=0).sum() / (n - 1))

    def components(self, config: BootstrapConfig) -> Components:
        """The variances of the mean; with one seed all is put down to the patients, as nothing tells them apart."""
        whole = float(np.nanvar(self.values[1 : 1 + config.resamples].mean(axis=1)))
        if len(self.seeds) == 1:
            return Components(whole, 0.0, 0.0)
        both = self.interaction(config)
        between, _ = self.prior.moderated(self.between, len(self.seeds) - 1)
        return Components(max(0.0, whole - both / len(self.seeds)), max(0.0, between - both), both)

    def acceleration(self, config: BootstrapConfig) -> float:
        """The acceleration of the mean over seeds, by the jackknife over patients."""
        left_out = self.values[1 + config.resamples :].mean(axis=1)
        return acceleration_of(left_out, self.components(config).seeds / len(self.seeds))

    def only(self, seeds: tuple[int, ...]) -> SeedResamples:
        """The same for some of the seeds, in the order given."""
        return replace(self, seeds=seeds, values=self.values[:, [self.seeds.index(seed) for seed in seeds]])

    def __sub__(self, other: SeedResamples) -> SeedResamples:
        """The paired difference, over the seeds that both have. Raises ValueError when they share none."""
        common = tuple(seed for seed in self.seeds if seed in other.seeds)
        if not common:
            raise ValueError(f"no seed in common: {self.seeds} and {other.seeds}")
        values = self.only(common).values - other.only(common).values
        limits = (self.limits[0] - other.limits[1], self.limits[1] - other.limits[0])
        return SeedResamples(common, values, limits)


@lru_cache(maxsize=64)
def _standard_draws(seed: int, n_seeds: int, freedom: float, count: int) -> tuple[Doubles, Doubles]:
    # The same for all rows of a table: that pairs them, and they need be drawn once only.
    rng = np.random.default_rng([0x5EED, seed, n_seeds])
    return rng.normal(size=count), rng.chisquare(freedom, count)


def estimate(row: SeedResamples, config: BootstrapConfig) -> Estimate:
    """Mean over seeds with its interval; with one seed the interval covers patients only."""
    resampled = row.over_seeds(config)
    measured = float(resampled[0])
    if config.interval == "bca":
        low, high = bca_interval(measured, resampled[1:], row.acceleration(config), config.level)
    else:
        low, high = percentile_interval(resampled[1:], config.level)
    return Estimate(measured, low, high, "seeds and patients" if len(row.seeds) > 1 else "patients")


def moderated(rows: Mapping[Key, SeedResamples]) -> dict[Key, SeedResamples]:
    """The same rows, each with what all of them tell of the variance between seeds."""
    several = [row for row in rows.values() if len(row.seeds) > 1]
    prior = seed_prior([row.between for row in several], [len(row.seeds) - 1 for row in several])
    return {name: replace(row, prior=prior) for name, row in rows.items()}


def differences(rows: Mapping[Key, SeedResamples], reference: SeedResamples) -> dict[Key, SeedResamples]:
    """Each row minus the reference, over the same patients and matched seeds; rows without a common seed stay out.

    How much differences vary between seeds is told by those of all pairs of rows: any two of the rows have the same
    interval in whatever table they stand, and whichever of them is the reference.
    """
    prior = pair_prior(list(rows.values()))
    matched = {name: row for name, row in rows.items() if set(row.seeds) & set(reference.seeds)}
    return {name: replace(row - reference, prior=prior) for name, row in matched.items()}


def pair_prior(rows: Sequence[SeedResamples]) -> SeedPrior:
    """The prior of the variance between seeds of a difference, from all pairs of rows with two seeds in common."""
    seeds = {seed: place for place, seed in enumerate(dict.fromkeys(seed for row in rows for seed in row.seeds))}
    measured = np.full((len(rows), len(seeds)), np.nan)
    for own, row in zip(measured, rows, strict=True):
        own[[seeds[seed] for seed in row.seeds]] = row.values[0]
    first, second = np.triu_indices(len(rows), 1)
    apart = measured[first] - measured[second]
    common = np.isfinite(apart).sum(axis=1)
    several = common > 1
    variances = np.nanvar(apart[several], axis=1, ddof=1)
    # Of two pairs, 4 / (G + 1) have a row in common; the differences then correlate by 1/2, their variances by 1/4.
    alike = 1 / (len(rows) + 1)
    return seed_prior(variances.tolist(), (common[several] - 1).tolist(), alike)


def mark_best(rows: Mapping[Any, SeedResamples], config: BootstrapConfig) -> dict[Any, str]:
    """ "best", "tie" or "" for every row; a tie's paired difference to the best has 0 in its interval."""
    means = {name: float(row.values[0].mean()) for name, row in rows.items()}
    ranked = [name for name in means if np.isfinite(means[name])]
    marks = dict.fromkeys(rows, "")
    if not ranked:
        return marks
    best = max(ranked, key=means.__getitem__)
    for name, difference in differences({name: rows[name] for name in ranked}, rows[best]).items():
        found = estimate(difference, config)
        marks[name] = "tie" if found.low <= 0 <= found.high else ""
    return {**marks, best: "best"}
