"""The site probe sees a planted leak, sees none where there is none, and counts as scikit-learn does."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from core.data.store import StudyStore
from core.evaluation.base import Evaluated, Skipped
from core.evaluation.kinds.leakage import LeakageConfig, known_sites, leakage
from tests.core.evaluation.conftest import ArrayPixels

SITES = ("harbour", "hill", "north")


def with_sites(store: StudyStore, planted: int) -> StudyStore:
    """Each patient at a site, by uneven shares; row 5, 6 or 7 of its films is brighter by `planted`."""
    splits = {}
    for name, table in store.splits.items():
        rng = np.random.default_rng([5, len(name)])
        patients, place = np.unique(table.patient_ids, return_inverse=True)
        site = rng.choice(3, len(patients), p=[0.5, 0.3, 0.2])[place]
        pixels = table.pixels.pixels.astype(int)
        row = 5 + np.repeat(site, np.diff(table.start))
        pixels[np.arange(len(row)), row] += planted
        bright = ArrayPixels(np.minimum(pixels, 255).astype(np.uint8))
        splits[name] = replace(table, sites=np.array(SITES)[site], pixels=bright)
    return replace(store, splits=splits)


def metrics(found: Evaluated | Skipped) -> dict[str, float]:
    assert isinstance(found, Evaluated)
    return {m.metric + (f"[{m.label}]" if m.label else ""): m.value for m in found.metrics}


def test_a_planted_leak_is_seen_and_without_one_the_probe_is_near_chance(make, store) -> None:
    leaky, tight = (
        metrics(leakage(LeakageConfig(), make.context(with_sites(store, planted), method=make.method(64))))
        for planted in (60, 0)
    )
    assert leaky["site_accuracy"] > 0.95
    assert leaky["site_auroc"] > 0.97
    assert abs(tight["site_auroc"] - 0.5) < 0.15
    assert tight["site_accuracy"] < tight["site_chance"] + 0.15
    assert leaky["site_chance"] == tight["site_chance"]


def test_the_numbers_are_scikit_learns(make, store) -> None:
    config = make.config(probe={"strengths": [0.1], "tolerance": 1e-5})
    context = make.context(with_sites(store, 25), config)
    outcome = leakage(LeakageConfig(), context)
    found = metrics(outcome)
    (train, _), (test, _) = (context.features[split].at("study") for split in ("train", "test"))
    scaler = StandardScaler().fit(train)
    sites, truth = context.store.splits["train"].sites, context.store.splits["test"].sites
    columns = []
    for site in SITES:
        model = LogisticRegression(C=0.1, tol=1e-8, max_iter=10_000)
        with warnings.catch_warnings(action="ignore"):
            columns.append(
                model.fit(scaler.transform(train), sites == site).predict_proba(scaler.transform(test))[:, 1]
            )
    probability = np.stack(columns, axis=1)
    guess = np.array(SITES)[probability.argmax(axis=1)]
    assert found["site_accuracy"] == pytest.approx(accuracy_score(truth, guess), abs=1e-9)
    assert found["site_balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, guess), abs=1e-9)
    areas = [roc_auc_score(truth == site, column) for site, column in zip(SITES, columns, strict=True)]
    assert found["site_auroc"] == pytest.approx(np.mean(areas), abs=1e-3)
    assert found["auroc[hill]"] == pytest.approx(areas[1], abs=1e-3)
    assert found["site_chance"] == pytest.approx(np.mean(truth == "harbour"))
    frame = pd.read_parquet(io.BytesIO(outcome.files["leakage.parquet"]))
    np.testing.assert_allclose(frame[[f"p:{site}" for site in SITES]], probability, atol=1e-3)
    assert (frame[[f"y:{site}" for site in SITES]].to_numpy().argmax(1) == np.searchsorted(SITES, truth)).all()


def test_an_unknown_site_or_one_without_training_studies_does_not_count(make, store) -> None:
    planted = with_sites(store, 60)
    splits = dict(planted.splits)
    sites = splits["test"].sites.astype("<U8")
    sites[:10], sites[10:15] = "", "new"
    splits["test"] = replace(splits["test"], sites=sites)
    (accuracy, *_) = leakage(LeakageConfig(), make.context(replace(planted, splits=splits))).metrics
    assert accuracy.n == len(sites) - 15
    assert known_sites(np.array(["a"] * 3 + ["b"] * 2 + [""] * 9), 3) == ("a",)


def test_one_site_is_skipped_with_a_reason(make, store) -> None:
    outcome = leakage(LeakageConfig(), make.context(store))
    assert isinstance(outcome, Skipped)
    assert "needs two" in outcome.reason
