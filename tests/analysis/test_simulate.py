"""Coverage and false alarms, on few simulations with a fixed seed; `viewpair bench statistics` runs thousands."""

from __future__ import annotations

import numpy as np

from analysis.simulate import Setting, make_scores, make_world, rates
from core.evaluation.metrics import auroc


def test_the_true_auroc_of_a_setting_is_what_many_patients_have() -> None:
    rng = np.random.default_rng(0)
    setting = Setting(patients=8000, seeds=6, deviation=0.3, own=0.4)
    world = make_world(setting, rng)
    found = [auroc(world.studies.truth[:, 0], s[0, :, 0]) for _ in range(10) for s in make_scores(setting, world, rng)]
    assert abs(np.mean(found) - setting.auroc) < 0.02


def test_intervals_hold_what_they_should_and_tests_are_seldom_wrong() -> None:
    found = rates(Setting(patients=60, seeds=3, deviation=0.1), 200, seed=1, resamples=300)
    for name, share in found.items():
        if "covers" in name:
            assert 0.91 <= share <= 0.99, name
        else:
            assert share <= 0.09, name


def test_delongs_test_has_its_level_where_models_do_not_differ() -> None:
    found = rates(Setting(patients=60, seeds=1, deviation=0.0), 200, seed=2, resamples=100)
    assert 0.02 <= found["delong"] <= 0.09
    assert 0.02 <= found["bootstrap"] <= 0.1
