"""The linear probe: against scikit-learn end to end, its label fractions, its undefined labels, its predictions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from core.data.fractions import label_subset
from core.data.labels import UNKNOWN
from core.errors import ConfigError
from core.evaluation.kinds.probe import ProbeConfig, probe, setups

CONFIG = ProbeConfig(fractions=[0.1, 0.5, 1.0], draws=2, tolerance=1e-8)


@pytest.fixture(scope="module")
def evaluated(make, store):
    """One run of the probe that several tests read."""
    return probe(CONFIG, make.context(store))


def value(evaluated, metric: str, label: str = "", fraction: float = 1.0, draw: int = 0, view: str = "study"):
    """The one metric with these keys."""
    (found,) = [
        m
        for m in evaluated.metrics
        if (m.metric, m.label, m.label_fraction, m.draw, m.view) == (metric, label, fraction, draw, view)
    ]
    return found


def test_one_draw_of_everything_and_several_of_a_part() -> None:
    found = [(s.label_fraction, s.draw, s.view) for s in setups(CONFIG)]
    parts = [(f, d, "study") for f in (0.1, 0.5) for d in (0, 1)]
    assert found == [*parts, (1.0, 0, "study"), (1.0, 0, "frontal"), (1.0, 0, "lateral")]


@pytest.mark.parametrize(("fraction", "draw", "view"), [(0.5, 1, "study"), (1.0, 0, "study"), (1.0, 0, "lateral")])
def test_predictions_equal_scikit_learns(make, store, evaluated, fraction: float, draw: int, view: str) -> None:
    context = make.context(store)
    (x, has_train), (x_test, has_test) = (context.features[s].at(view) for s in ("train", "test"))
    mean, std = x[has_train].mean(0), x[has_train].std(0)
    used = has_train & label_subset(store.splits["train"], fraction, draw)
    strength = value(evaluated, "strength", "", fraction, draw, view).value
    frame = evaluated.predictions.query("label_fraction == @fraction and draw == @draw and view == @view")
    assert list(frame.study_id) == list(store.splits["test"].study_ids[has_test])
    for column, label in enumerate(make.labels):
        model = LogisticRegression(C=strength, tol=1e-10, max_iter=100_000)
        model.fit(((x[used] - mean) / std).astype(np.float64), context.labels["train"][used, column])
        expected = model.predict_proba(((x_test[has_test] - mean) / std).astype(np.float64))[:, 1]
        np.testing.assert_allclose(frame[f"p:{label}"], expected, atol=1e-4)
        truth = context.labels["test"][has_test, column]
        np.testing.assert_array_equal(frame[f"y:{label}"], truth)
        found = value(evaluated, "auroc", label, fraction, draw, view)
        assert found.value == pytest.approx(roc_auc_score(truth, frame[f"p:{label}"]), abs=1e-9)
        assert (found.n, found.n_positive) == (has_test.sum(), truth.sum())


def test_labels_that_the_films_show_are_found(evaluated) -> None:
    assert value(evaluated, "macro_auroc").value > 0.8
    assert value(evaluated, "macro_auroc").n == 3


def test_labels_that_the_films_do_not_show_are_not(make) -> None:
    store = make.store()
    rng = np.random.default_rng(0)
    tables = {
        k: replace(t, labels=(rng.random(t.labels.shape) < 0.5).astype(np.float32)) for k, t in store.splits.items()
    }
    found = probe(CONFIG, make.context(replace(store, splits=tables)))
    assert abs(value(found, "macro_auroc").value - 0.5) < 0.15


def test_the_strength_is_the_best_on_validate(make, store, evaluated) -> None:
    scores = []
    for strength in CONFIG.strengths:
        # With validate in the place of test, the probe's own macro is the number that the choice went by.
        tables = {**store.splits, "test": store.splits["validate"]}
        fixed = replace(CONFIG, strengths=[strength], fractions=[1.0], views=[])
        scores.append(value(probe(fixed, make.context(replace(store, splits=tables))), "macro_auroc").value)
    chosen = value(evaluated, "strength").value
    assert scores[CONFIG.strengths.index(chosen)] == max(scores)


def test_test_labels_and_unused_training_labels_do_not_matter(make, store, evaluated) -> None:
    subset = label_subset(store.splits["train"], 0.5, 1)
    train, test = store.splits["train"], store.splits["test"]
    flipped = np.where(subset[:, None], train.labels, 1 - train.labels)
    tables = {**store.splits, "train": replace(train, labels=flipped), "test": replace(test, labels=1 - test.labels)}
    found = probe(CONFIG, make.context(replace(store, splits=tables)))

    def predicted(outcome, fraction: float, draw: int) -> np.ndarray:
        frame = outcome.predictions
        rows = frame[(frame.label_fraction == fraction) & (frame.draw == draw) & (frame.view == "study")]
        return rows[[f"p:{label}" for label in make.labels]].to_numpy()

    np.testing.assert_array_equal(predicted(found, 0.5, 1), predicted(evaluated, 0.5, 1))
    assert not np.allclose(predicted(found, 1.0, 0), predicted(evaluated, 1.0, 0))


def test_fractions_are_nested_and_by_patient(store) -> None:
    table = store.splits["train"]
    patients = table.patient_ids
    for draw in range(3):
        small, large = (label_subset(table, f, draw) for f in (0.1, 0.5))
        assert set(patients[small]) < set(patients[large])
        assert not set(patients[large]) & set(patients[~large])


def test_a_fraction_is_one_of_the_patients_who_have_labels(store) -> None:
    table = store.splits["train"]
    patients = np.unique(table.patient_ids)
    bare = np.isin(table.patient_ids, patients[::2])
    labels = np.where(bare[:, None], np.float32(UNKNOWN), table.labels)
    # Of one of them one study has one label: that is enough.
    labels[np.flatnonzero(table.patient_ids == patients[0])[0], 0] = 0
    known = {str(patient) for patient in patients[1::2]} | {str(patients[0])}
    for fraction in (0.1, 0.5, 1.0):
        chosen = label_subset(replace(table, labels=labels), fraction, 0)
        assert set(table.patient_ids[chosen]) <= known
        assert len(set(table.patient_ids[chosen])) == math.ceil(fraction * len(known) - 1e-9)
    # Where nobody has looked at all, and where not mentioned is not unknown, it is one of all patients.
    for nothing in (np.full_like(labels, UNKNOWN), np.full_like(labels, np.nan), labels[:, :0]):
        assert label_subset(replace(table, labels=nothing), 1.0, 0).all()


def test_a_label_with_one_class_in_training_is_undefined_with_its_count(make, store) -> None:
    train = store.splits["train"]
    labels = train.labels.copy()
    labels[:, 1] = 0
    found = probe(CONFIG, make.context(replace(store, splits={**store.splits, "train": replace(train, labels=labels)})))
    metric = value(found, "auroc", make.labels[1])
    positives = int(store.splits["test"].labels[:, 1].sum())
    assert math.isnan(metric.value)
    assert (metric.n, metric.n_positive) == (store.splits["test"].n_studies, positives)
    assert value(found, "macro_auroc").n == 2
    assert found.predictions[f"p:{make.labels[1]}"].isna().all()


def test_a_split_without_a_view_gives_holes_and_no_error(make, store) -> None:
    tables = {k: replace(t, view=np.zeros_like(t.view)) for k, t in store.splits.items()}
    found = probe(CONFIG, make.context(replace(store, splits=tables)))
    metric = value(found, "macro_auroc", view="lateral")
    assert math.isnan(metric.value)
    assert metric.n == 0


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("fractions", [0.0]),
        ("fractions", [1.5]),
        ("fractions", []),
        ("strengths", []),
        ("draws", 0),
        ("views", ["side"]),
    ],
)
def test_settings_that_cannot_work_are_refused(field: str, bad) -> None:
    with pytest.raises(ConfigError, match=f"evaluation.probe.{field}"):
        ProbeConfig(**{field: bad})


def test_studies_that_nobody_has_labelled_are_not_among_the_predictions(make, store) -> None:
    test = store.splits["test"]
    bare = np.arange(test.n_studies) % 3 == 0
    for chosen, expected in ((bare, test.study_ids[~bare]), (np.ones_like(bare), test.study_ids)):
        labels = np.where(chosen[:, None], np.float32(UNKNOWN), test.labels)
        found = probe(
            CONFIG, make.context(replace(store, splits={**store.splits, "test": replace(test, labels=labels)}))
        )
        frame = found.predictions.query("view == 'study' and label_fraction == 1.0")
        assert list(frame.study_id) == list(expected)
        assert value(found, "macro_auroc").n == (0 if chosen.all() else len(make.labels))
