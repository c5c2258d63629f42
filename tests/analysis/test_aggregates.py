"""Interquartile mean, profiles and probability of improvement against SciPy and counting."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, trim_mean

from analysis.aggregates import (
    interquartile_mean,
    over_runs,
    performance_profile,
    probability_of_improvement,
    resample_runs,
)
from analysis.resample import BootstrapConfig

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("runs", "tasks"), [(3, 14), (5, 3), (1, 7), (2, 1)])
def test_the_interquartile_mean_is_scipys_trimmed_mean(runs: int, tasks: int) -> None:
    scores = RNG.random((6, runs, tasks))
    expected = [trim_mean(one, proportiontocut=0.25, axis=None) for one in scores]
    assert interquartile_mean(scores) == pytest.approx(expected)


def test_a_profile_counts_what_is_above() -> None:
    scores = np.round(RNG.random((4, 3, 5)), 1)
    thresholds = np.array([0.0, 0.3, 0.5, 1.0])
    expected = [[np.mean(one > t) for t in thresholds] for one in scores]
    assert performance_profile(scores, thresholds) == pytest.approx(np.array(expected))


def test_improvement_is_the_mann_whitney_share_averaged_over_tasks() -> None:
    first, second = np.round(RNG.random((2, 4, 5)), 1), np.round(RNG.random((2, 3, 5)), 1)
    for place, found in enumerate(probability_of_improvement(first, second)):
        shares = [mannwhitneyu(first[place, :, t], second[place, :, t]).statistic / 12 for t in range(5)]
        assert found == pytest.approx(np.mean(shares))
    same = RNG.random((1, 3, 2))
    assert probability_of_improvement(same, same) == pytest.approx(0.5)


def test_runs_are_drawn_task_by_task_and_the_first_row_stays() -> None:
    scores = np.broadcast_to(np.arange(3)[None, :, None] + 10.0 * np.arange(4), (500, 3, 4))
    again = resample_runs(scores, BootstrapConfig())
    assert (again[0] == scores[0]).all()
    assert (again // 10 == np.arange(4)).all()
    # Were whole runs drawn, all tasks of one would agree.
    assert (again[1:, 0, 0] % 10 != again[1:, 0, 1] % 10).any()
    assert (again[1:] % 10).mean() == pytest.approx(1.0, abs=0.05)


def test_the_interval_is_that_of_the_mean_where_nothing_is_trimmed() -> None:
    values = np.array([0.6, 0.7, 0.8, 0.95])
    config = BootstrapConfig(resamples=20_000, level=0.9)
    scores = resample_runs(np.tile(values[:, None], (20_001, 1, 1)), config)
    found = over_runs(scores.mean(axis=(1, 2)), [4], config)
    every = [np.mean(drawn) for drawn in itertools.product(values, repeat=4)]
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(np.quantile(every, [0.05, 0.95]), abs=1e-6)
    assert found.covers == "seeds and patients"
    assert over_runs(np.zeros(101), [1, 3], config).covers == "patients"


def test_a_label_that_a_resample_lost_keeps_what_was_measured() -> None:
    scores = np.array([[[0.6, 0.7]], [[np.nan, 0.9]]])
    assert resample_runs(scores, BootstrapConfig()).tolist() == [[[0.6, 0.7]], [[0.6, 0.9]]]
