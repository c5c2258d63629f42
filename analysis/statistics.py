"""Means with their uncertainty: a hierarchical bootstrap over seeds and patients.

Every row of a table is resampled with the same patients and the same seeds, so that the difference of two rows is
a paired bootstrap at no further cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.resample import BootstrapConfig, Doubles


@dataclass(frozen=True)
class Estimate:
    """A mean and its interval; NaN means undefined.

    covers: what the interval is over: "seeds and patients", "patients" (one seed), or "" (no interval).
    """

    mean: float
    low: float = float("nan")
    high: float = float("nan")
    covers: str = ""


def seed_weights(seeds: tuple[int, ...], config: BootstrapConfig) -> Doubles:
    """Share of each seed in each resample: [1 + resamples, n]; row 0 is the plain mean; rows sum to 1.

    Deviations from the plain mean are stretched by sqrt(n / (n - 1)), the rescaled bootstrap of Rao and Wu
    (1988): resampling n = 3 seeds as they are would understate the variance between seeds by a third.
    """
    n = len(seeds)
    plain = np.full(n, 1 / n)
    if n == 1:
        return np.ones((1 + config.resamples, 1))
    rng = np.random.default_rng([0x5EED, config.seed, *seeds])
    drawn = rng.multinomial(n, plain, size=config.resamples) / n
    return np.concatenate([plain[None], plain + np.sqrt(n / (n - 1)) * (drawn - plain)])


@dataclass(frozen=True)
class SeedResamples:
    """One statistic of one row of a table: a value per resample and seed.

    seeds: the n seeds. values: [R, n]; row 0 holds what was measured.
    """

    seeds: tuple[int, ...]
    values: Doubles

    def over_seeds(self, config: BootstrapConfig) -> Doubles:
        """The statistic averaged over the resampled seeds, [R]; entry 0 is the plain mean."""
        result: Doubles = (self.values * seed_weights(self.seeds, config)).sum(axis=1)
        return result

    def only(self, seeds: tuple[int, ...]) -> SeedResamples:
        """The same for some of the seeds, in the order given."""
        return SeedResamples(seeds, self.values[:, [self.seeds.index(seed) for seed in seeds]])


def percentile_interval(resampled: Doubles, level: float) -> tuple[float, float]:
    """The percentile interval of the finite resamples; (NaN, NaN) when there are none."""
    finite = resampled[np.isfinite(resampled)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def estimate(row: SeedResamples, config: BootstrapConfig) -> Estimate:
    """Mean over seeds with its percentile interval; with one seed the interval covers patients only."""
    resampled = row.over_seeds(config)
    low, high = percentile_interval(resampled[1:], config.level)
    return Estimate(float(resampled[0]), low, high, "seeds and patients" if len(row.seeds) > 1 else "patients")


def paired_difference(first: SeedResamples, second: SeedResamples, config: BootstrapConfig) -> Estimate:
    """first - second over the same patients and matched seeds, with its percentile interval.

    Seeds that only one of the two has are left out. Raises ValueError when they share none.
    """
    common = tuple(seed for seed in first.seeds if seed in second.seeds)
    if not common:
        raise ValueError(f"no seed in common: {first.seeds} and {second.seeds}")
    difference = first.only(common).values - second.only(common).values
    return estimate(SeedResamples(common, difference), config)


def mark_best(rows: dict[Any, SeedResamples], config: BootstrapConfig) -> dict[Any, str]:
    """ "best", "tie" or "" for every row; a tie's paired difference to the best has 0 in its interval."""
    means = {name: float(row.values[0].mean()) for name, row in rows.items()}
    ranked = [name for name in means if np.isfinite(means[name])]
    if not ranked:
        return dict.fromkeys(rows, "")
    best = max(ranked, key=means.__getitem__)
    marks = dict.fromkeys(rows, "")
    for name in ranked:
        difference = paired_difference(rows[name], rows[best], config)
        marks[name] = "best" if name == best else "tie" if difference.low <= 0 <= difference.high else ""
    return marks
