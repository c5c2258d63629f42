"""What the key of an evaluation hangs on."""

from __future__ import annotations

import pytest

from core.compose import compose, to_trial
from core.identity import evaluation_key


def key(*overrides: str) -> str:
    return evaluation_key(to_trial(compose(["method=mae", *overrides])))


RUN = "evaluation.run=[probe,knn]"


@pytest.mark.parametrize(
    "override", ["evaluation.knn.k=7", "evaluation.probe.draws=1", "evaluation.pool=mean", "evaluation.batch_size=8"]
)
def test_settings_of_what_runs_are_part_of_the_key(override: str) -> None:
    assert key(RUN, override) != key(RUN)


@pytest.mark.parametrize("override", ["evaluation.finetune.epochs=30", "evaluation.transfer.labels=[Edema]"])
def test_settings_of_what_does_not_run_are_not(override: str) -> None:
    assert key(RUN, override) == key(RUN)


def test_what_runs_is_part_of_the_key_and_its_order_is_not() -> None:
    assert key(RUN) == key("evaluation.run=[knn,probe]")
    assert key(RUN) != key("evaluation.run=[probe]")


def test_a_linear_model_on_features_takes_the_probes_settings_and_so_does_its_key() -> None:
    assert key("evaluation.run=[leakage]", "evaluation.probe.tolerance=0.01") != key("evaluation.run=[leakage]")
