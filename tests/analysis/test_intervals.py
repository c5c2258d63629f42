"""BCa against SciPy on data of one level, and the jackknife against leaving patients out for real."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import roc_auc_score

from analysis.intervals import acceleration_of, bca_interval, percentile_interval
from analysis.resample import BootstrapConfig, Resampler, TestStudies, patient_weights
from analysis.statistics import SeedResamples, estimate
from core.errors import ConfigError
from core.evaluation.metrics import auroc

BCA = BootstrapConfig(resamples=1000, interval="bca")


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_bca_is_scipys_on_the_same_resamples(level: float) -> None:
    sample = np.random.default_rng(0).exponential(size=40)
    theirs = bootstrap((sample,), np.mean, n_resamples=4000, confidence_level=level, method="BCa", rng=1)
    left_out = np.array([np.delete(sample, i).mean() for i in range(len(sample))])
    ours = bca_interval(sample.mean(), theirs.bootstrap_distribution, acceleration_of(left_out), level)
    expected = theirs.confidence_interval
    assert ours == pytest.approx((expected.low, expected.high), abs=1e-9)
    plain = percentile_interval(theirs.bootstrap_distribution, level)
    assert ours[0] > plain[0]
    assert ours[1] > plain[1] + 0.01


def test_bca_where_it_is_not_defined() -> None:
    assert all(map(math.isnan, bca_interval(2.0, np.linspace(0, 1, 50), 0.0, 0.95)))
    assert all(map(math.isnan, bca_interval(2.0, np.full(5, np.nan), 0.0, 0.95)))
    assert all(map(math.isnan, percentile_interval(np.full(5, np.nan), 0.95)))
    assert bca_interval(0.5, np.full(50, 0.5), 0.0, 0.95) == (0.5, 0.5)
    assert acceleration_of(np.array([])) == 0.0
    assert acceleration_of(np.full(4, 0.7)) == 0.0


def made(seed: int = 0, patients: int = 30) -> tuple[TestStudies, np.ndarray]:
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), rng.integers(1, 4, patients))
    truth = (rng.random((len(patient), 1)) < 0.4).astype(float)
    scores = np.round(rng.normal(size=(1, len(patient), 1)) + truth, 1)
    return TestStudies(np.arange(len(patient)).astype(str), patient, ("a",), truth), scores


def test_the_jackknife_leaves_out_all_studies_of_one_patient() -> None:
    studies, scores = made()
    values = Resampler(studies, BCA).labels(scores).values[:, 0]
    assert len(values) == 1 + 1000 + 30
    for patient in (0, 7, 29):
        kept = studies.patient != patient
        expected = roc_auc_score(studies.truth[kept, 0], scores[0, kept, 0])
        assert values[1001 + patient] == pytest.approx(expected, abs=1e-6)


def test_bca_of_one_seed_is_scipys_with_patients_as_the_sample() -> None:
    studies, scores = made(1)

    of_patient = [np.flatnonzero(studies.patient == p) for p in range(30)]

    def resampled(chosen: np.ndarray) -> float:
        rows = np.concatenate([of_patient[int(p)] for p in chosen])
        return auroc(studies.truth[rows, 0], scores[0, rows, 0])

    everyone = (np.arange(30),)
    theirs = bootstrap(everyone, resampled, n_resamples=4000, method="BCa", vectorized=False, rng=2).confidence_interval
    values = Resampler(studies, BootstrapConfig(resamples=20_000, interval="bca")).labels(scores).values
    found = estimate(SeedResamples((0,), values), BootstrapConfig(resamples=20_000, interval="bca"))
    # Two Monte Carlo errors apart at most: SciPy's resamples are few, as they are slow.
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.012)


def test_both_kinds_use_the_same_resamples() -> None:
    plain, more = (
        patient_weights(20, BootstrapConfig(resamples=100)),
        patient_weights(20, BootstrapConfig(100, 0, 0.95, "bca")),
    )
    assert (more[:, :101] == plain).all()
    assert (more[:, 101:] == 1 - np.eye(20)).all()


def test_an_unknown_kind_of_interval_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"interval=bcs(.|\n)*bca"):
        BootstrapConfig(interval="bcs")
