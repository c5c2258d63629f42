"""Which findings come, how they last, and what reports say of them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from core.data.phantom.config import PREVALENCE, PhantomConfig
from core.data.phantom.disease import LOADINGS, draw_disease
from core.data.phantom.findings import PLEURAL, SHAPING, Case
from core.data.phantom.labels import report
from core.data.phantom.plan import plan_patient, study_id, subject_id
from core.data.types import CHEXPERT_LABELS

MANY = 1500


def presence(cooccurrence: float, persistence: float, studies: int = 1) -> np.ndarray:
    """bool [MANY, studies, findings]."""
    found = np.zeros((MANY, studies, len(LOADINGS)), bool)
    names = list(LOADINGS)
    for patient in range(MANY):
        history = draw_disease(5, patient, studies, PREVALENCE, cooccurrence, persistence, (0.1, 1.0))
        for study, cases in enumerate(history):
            for case in cases:
                found[patient, study, names.index(case.finding)] = True
                assert 0.1 <= case.severity <= 1.0
    return found


def test_every_finding_of_chexpert_has_a_place() -> None:
    assert {*SHAPING, *PLEURAL, "No Finding"} == set(CHEXPERT_LABELS)
    assert set(LOADINGS) == set(PREVALENCE) == {*SHAPING, *PLEURAL}


def test_loadings_leave_room_for_chance() -> None:
    assert all(sum(x * x for x in loads) <= 1 for loads in LOADINGS.values())


def test_prevalence_is_as_set_whatever_the_cooccurrence() -> None:
    wanted = np.array([PREVALENCE[name] for name in LOADINGS])
    for cooccurrence in (0.0, 1.0):
        share = presence(cooccurrence, 0.5).mean((0, 1))
        np.testing.assert_allclose(share, wanted, atol=4.5 * np.sqrt(wanted.max() / MANY))


def test_cooccurrence_ties_findings_of_one_cause() -> None:
    names = list(LOADINGS)
    heart, edema, fracture = (names.index(n) for n in ("Cardiomegaly", "Edema", "Fracture"))
    for cooccurrence, low, high in ((0.0, -0.06, 0.06), (1.0, 0.2, 0.8)):
        table = np.corrcoef(presence(cooccurrence, 0.5)[:, 0].T)
        assert low < table[heart, edema] < high
    assert abs(table[edema, fracture]) < 0.15


def test_findings_persist_as_set() -> None:
    agreement = []
    for persistence in (0.0, 0.9):
        found = presence(0.5, persistence, studies=2)
        agreement.append((found[:, 0] & found[:, 1]).sum() / found[:, 0].sum())
    assert agreement[0] < 0.25
    assert agreement[1] > 0.6


def test_place_lasts_as_long_as_the_finding() -> None:
    for patient in range(200):
        history = draw_disease(1, patient, 6, PREVALENCE, 0.5, 0.6, (0.1, 1.0))
        for name in LOADINGS:
            episodes = [next((c.episode for c in cases if c.finding == name), 0) for cases in history]
            for before, now in itertools.pairwise(episodes):
                assert now in (0, before) or before == 0
            onsets = [e for e in dict.fromkeys(episodes) if e]
            assert onsets == list(range(1, len(onsets) + 1))


@pytest.mark.parametrize("names", [[], ["Support Devices"], ["Edema"], ["Pneumonia", "Support Devices"]])
def test_labels_agree_with_the_disease(names: list[str]) -> None:
    cases = [Case(name, 0.9, 1) for name in names]
    labels = report(cases, 0.0, 0.0, np.random.default_rng(0))
    assert list(labels) == list(CHEXPERT_LABELS)
    ill = {c.finding for c in cases} - {"Support Devices"}
    assert labels["No Finding"] == (0.0 if ill else 1.0)
    for case in cases:
        assert labels[case.finding] == 1.0
    assert labels["Lung Opacity"] == (1.0 if "Pneumonia" in ill else 0.0)


def test_hedged_and_blank_labels_come_as_often_as_set_and_never_hide_a_finding() -> None:
    rng = np.random.default_rng(3)
    sick = [report([Case("Edema", 0.5, 1)], 0.1, 0.4, rng) for _ in range(2000)]
    hedged = np.mean([r["Edema"] == -1 for r in sick])
    blank = np.mean([math.isnan(r["Fracture"]) for r in sick])
    assert hedged == pytest.approx(0.2, abs=0.04)
    assert blank == pytest.approx(0.4, abs=0.04)
    assert all(r["Edema"] in (1.0, -1.0) and r["No Finding"] == 0.0 for r in sick)
    healthy = [report([], 0.5, 0.0, rng) for _ in range(500)]
    for labels in healthy:
        doubtful = any(v == -1 for k, v in labels.items() if k not in ("No Finding", "Support Devices"))
        assert labels["No Finding"] == (0.0 if doubtful else 1.0)


def test_ids_are_of_their_form_and_never_meet() -> None:
    subjects = {subject_id(4, n) for n in range(5000)}
    studies = {study_id(4, n, s) for n in range(1000) for s in range(5)}
    assert len(subjects) == len(studies) == 5000
    assert all(len(s) == 8 and s[0] == "1" for s in subjects)
    assert all(len(s) == 8 and s[0] == "5" for s in studies)


def test_shares_of_views_and_studies_are_as_set() -> None:
    config = PhantomConfig(single_view_share=0.3, two_frontals_share=0.2, studies_per_patient=2.0)
    plans = [plan_patient(config, n) for n in range(600)]
    views = [[film.geometry for film in study.films] for plan in plans for study in plan.studies]
    single = np.mean([len({"LATERAL"} & set(v)) + (len(set(v) - {"LATERAL"}) > 0) == 1 for v in views])
    frontals = np.mean([sum(x != "LATERAL" for x in v) == 2 for v in views])
    assert len(views) / len(plans) == pytest.approx(2.0, abs=0.15)
    assert single == pytest.approx(0.3, abs=0.06)
    assert frontals == pytest.approx(0.2 * (1 - 0.3 * 0.15), abs=0.05)
    assert {plan.site.name for plan in plans} == set(config.sites)


def test_a_patient_does_not_depend_on_how_many_there_are() -> None:
    few, many = (plan_patient(PhantomConfig(patients=n), 2) for n in (3, 500))
    assert repr(few) == repr(many)  # by text: a blank label is NaN, which equals nothing
    assert repr(plan_patient(PhantomConfig(seed=1), 2)) != repr(few)
