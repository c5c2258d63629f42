"""Aggregates over labels and seeds, as Agarwal et al. 2021 (rliable) define them, with intervals.

A task is a label, a run is a seed. Scores come as [R, n, L]: resample of the patients (row 0: as measured), seed,
label.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from analysis.intervals import percentile_interval
from analysis.resample import BootstrapConfig, Doubles
from analysis.statistics import Estimate
from core.data.types import Ints


def interquartile_mean(scores: Doubles) -> Doubles:
    """Mean of the middle half of all runs of all tasks. scores: [R, n, L] -> [R].

    A quarter of the scores, rounded down, is cut off at either end, as scipy.stats.trim_mean does.
    """
    ordered = np.sort(scores.reshape(len(scores), -1), axis=1)
    cut = ordered.shape[1] // 4
    middle: Doubles = ordered[:, cut : ordered.shape[1] - cut].mean(axis=1)
    return middle


def performance_profile(scores: Doubles, thresholds: Doubles) -> Doubles:
    """Share of runs, averaged over tasks, that score above each threshold. scores: [R, n, L] -> [R, T]."""
    flat = np.sort(scores.reshape(len(scores), -1), axis=1)
    above = [flat.shape[1] - np.searchsorted(row, thresholds, side="right") for row in flat]
    return np.stack(above) / flat.shape[1]


def probability_of_improvement(first: Doubles, second: Doubles) -> Doubles:
    """Chance that a run of the first beats one of the second on a task drawn at random; a tie counts half.

    first: [R, n, L], second: [R, k, L] -> [R]. All pairs of runs of a task count (Mann-Whitney).
    """
    wins = np.zeros(len(first))
    for run in range(first.shape[1]):
        wins += (0.5 + 0.5 * np.sign(first[:, run, None] - second)).mean(axis=(1, 2))
    return wins / first.shape[1]


def resample_runs(scores: Doubles, config: BootstrapConfig, salt: int = 0) -> Doubles:
    """Scores with the runs of every task drawn anew, task by task: the stratified bootstrap of rliable.

    scores: [R, n, L], the patients' resamples; the result is the same shape, its row 0 as measured. Labels that are
    undefined in some resample (one class only among its patients) are put down to what was measured.
    """
    scores = np.where(np.isfinite(scores), scores, scores[:1])
    again: Doubles = np.take_along_axis(scores, _drawn_runs(config.seed, salt, scores.shape), axis=1)
    return again


@lru_cache(maxsize=8)
def _drawn_runs(seed: int, salt: int, shape: tuple[int, ...]) -> Ints:
    # The same for all rows of a table: they need be drawn once only.
    drawn = np.random.default_rng([0xA66, seed, salt]).integers(shape[1], size=shape)
    drawn[0] = np.arange(shape[1])[:, None]
    drawn.flags.writeable = False
    return drawn


def over_runs(statistic: Doubles, n_seeds: Sequence[int], config: BootstrapConfig) -> Estimate:
    """A statistic of resampled runs [R] with its percentile interval. n_seeds: of each row that it is made from."""
    low, high = percentile_interval(statistic[1:], config.level)
    return Estimate(float(statistic[0]), low, high, "seeds and patients" if min(n_seeds) > 1 else "patients")
