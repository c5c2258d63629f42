"""All evaluations together, through the registry."""

from __future__ import annotations

import pandas as pd
import pytest
from omegaconf import OmegaConf

from core.compose import evaluation_config
from core.errors import ConfigError
from core.evaluation.base import EVALUATIONS, Evaluated, EvaluationContext, Skipped
from core.evaluation.config import EvaluationConfig
from core.evaluation.evaluate import combine, evaluate
from tests.core.evaluation import conftest


def test_everything_runs_and_says_what_it_skipped(make, store) -> None:
    found = evaluate(make.config(), store, make.method(), "cpu")
    assert {m.evaluation for m in found.metrics} == {"probe", "knn", "retrieval", "rank"}
    assert found.skipped.keys() == {"head", "gallery", "leakage"}
    assert set(found.predictions.evaluation) == {"probe", "knn"}
    assert not found.predictions.duplicated(["evaluation", "label_fraction", "draw", "view", "study_id"]).any()


def test_the_same_trial_gives_the_same_numbers(make, store) -> None:
    first, second = (evaluate(make.config(), store, make.method(), "cpu") for _ in range(2))
    assert repr(first.metrics) == repr(second.metrics)
    pd.testing.assert_frame_equal(first.predictions, second.predictions, check_exact=True)


def test_only_what_is_named_runs(make, store) -> None:
    found = evaluate(make.config(run=["rank"]), store, make.method(), "cpu")
    assert {m.evaluation for m in found.metrics} == {"rank"}
    assert found.predictions is None
    assert found.skipped == {}


def test_all_names_every_evaluation() -> None:
    assert EvaluationConfig(run=["all"]).chosen == EVALUATIONS.names()
    assert set(EvaluationConfig().chosen) < set(EVALUATIONS.names())


def test_two_evaluations_may_not_write_one_file() -> None:
    one, other = (Evaluated([], files={"page.npz": data}) for data in (b"1", b"2"))
    with pytest.raises(ValueError, match=r"page\.npz"):
        combine({"a": one, "b": other, "c": Skipped("not here")})


@pytest.mark.parametrize("entry", EVALUATIONS.entries(), ids=lambda e: e.name)
def test_each_registered_evaluation_runs_alone_and_is_documented(entry, make, store) -> None:
    assert entry.line
    assert entry.source
    outcome = entry.build(entry.config(), make.context(store))
    assert isinstance(outcome, Evaluated | Skipped)
    if isinstance(outcome, Evaluated):
        assert {m.evaluation for m in outcome.metrics} <= {entry.name}


def test_a_new_evaluation_is_one_registration(make, store, monkeypatch) -> None:
    monkeypatch.setattr(EVALUATIONS, "_entries", dict(EVALUATIONS._entries))
    # The node is made once a process, and that one lacks what this test registers.
    monkeypatch.setattr(conftest, "evaluation_config", evaluation_config.__wrapped__)

    @EVALUATIONS.register("count", config=type(EVALUATIONS.get("rank").config()))
    def count(_config, context: EvaluationContext) -> Evaluated:
        """Counts."""
        return Evaluated([], files={"count.txt": str(context.store.splits["test"].n_studies).encode()})

    found = evaluate(make.config(run=["count"]), store, make.method(), "cpu")
    assert found.files == {"count.txt": str(store.splits["test"].n_studies).encode()}


def test_each_evaluation_has_its_own_settings() -> None:
    node = OmegaConf.structured(evaluation_config())
    assert set(EVALUATIONS.names()) <= set(node)
    node.probe.draws = 5
    node.run = ["probe"]
    typed = OmegaConf.to_object(node)
    assert (typed.probe.draws, typed.run) == (5, ["probe"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"run": ["prob"]}, "did you mean probe"),
        ({"run": []}, "evaluation.run is empty"),
        ({"run": ["knn", "knn"]}, "twice"),
        ({"run": ["knn", "all"]}, r"evaluation.run=\[all\]"),
        ({"label_policy": "zero"}, "did you mean zeros"),
        ({"batch_size": 0}, "evaluation.batch_size"),
        ({"pool": "max"}, "evaluation.pool"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvaluationConfig(**settings)
