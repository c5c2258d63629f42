"""Settings that cannot work are refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from core.compose import compose, to_trial
from core.data.phantom.config import PREVALENCE, PhantomConfig
from core.data.phantom.generate import identity
from core.errors import ConfigError

BAD: dict[str, dict[str, Any]] = {
    "data.patients": {"patients": 2},
    "data.seed": {"seed": -1},
    "data.studies_per_patient": {"studies_per_patient": 0.5},
    "data.prevalence": {"prevalence": {"Edma": 0.1}},
    "data.prevalence[Edema]": {"prevalence": {"Edema": 1.0}},
    "data.cooccurrence": {"cooccurrence": 1.2},
    "data.persistence": {"persistence": -0.1},
    "data.severity": {"severity": [0.9, 0.2]},
    "data.single_view_share": {"single_view_share": 2.0},
    "data.uncertain_share": {"uncertain_share": -1.0},
    "data.film_size": {"film_size": 2048},
    "data.size": {"size": 16},
    "data.dose": {"dose": 0.0},
    "data.scatter": {"scatter": -0.1},
    "data.sites": {"sites": []},
    "data.sites=sout": {"sites": ["sout"]},
    "data.processes": {"processes": -1},
}


@pytest.mark.parametrize("field", BAD)
def test_a_bad_setting_is_refused_by_name(field: str) -> None:
    with pytest.raises(ConfigError, match=field.replace("[", r"\[").replace("]", r"\]")):
        PhantomConfig(**BAD[field])


def test_a_mistyped_finding_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Edema"):
        PhantomConfig(prevalence={"Edma": 0.1})


def test_what_changes_bytes_changes_the_identity_and_nothing_else_does() -> None:
    base = identity(PhantomConfig())
    others: list[dict[str, Any]] = [{"seed": 1}, {"prevalence": {"Edema": 0.3}}, {"film_size": 128}, {"dose": 9.0}]
    for settings in [*others, {"sites": ["hill"]}]:
        assert identity(PhantomConfig(**settings)) != base
    assert identity(PhantomConfig(processes=3)) == base
    assert identity(PhantomConfig(prevalence=dict(PREVALENCE))) == identity(PhantomConfig(prevalence={})) == base


def test_settings_come_through_the_command_line() -> None:
    overrides = ["data.patients=7", "data.prevalence={Pleural Effusion: 0.5}", "data.sites=[hill]"]
    trial = to_trial(compose(["data=phantom", *overrides]))
    assert trial.data.patients == 7
    assert trial.data.shares["Pleural Effusion"] == 0.5
    assert trial.data.shares["Edema"] == PREVALENCE["Edema"]
    assert trial.data.sites == ["hill"]
