"""The probe of one data set on another: shared labels by name, absent ones named, known patients left out."""

from __future__ import annotations

import io
import logging
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from core.config import DataConfig
from core.data.store import StudyStore
from core.errors import ConfigError, DataError
from core.evaluation.base import Evaluated, Skipped
from core.evaluation.features import extract
from core.evaluation.kinds import transfer as module
from core.evaluation.kinds.transfer import TransferConfig, open_target, shared_labels, target_config, transfer
from core.evaluation.linear import label_probe

OTHER = ("Fracture", "Pleural Effusion", "Cardiomegaly")
CONFIG = TransferConfig(data=["data=phantom"])


def relabelled(store: StudyStore, names: tuple[str, ...], name: str = "other") -> StudyStore:
    """A store whose label columns are those of `names`, taken from the same films; an unknown name is all negative."""
    splits = {}
    for split, table in store.splits.items():
        known = [table.labels[:, table.label_names.index(n)] if n in table.label_names else 0 * table.labels[:, 0]
                 for n in names]  # fmt: skip
        patients = np.array([f"{name}-{patient}" for patient in table.patient_ids])
        splits[split] = replace(table, label_names=names, labels=np.stack(known, axis=1), patient_ids=patients)
    return replace(store, name=name, label_names=names, splits=splits)


@pytest.fixture
def ready(make, store, monkeypatch: pytest.MonkeyPatch) -> Any:
    """ready(target) -> the context of a trial on `store` whose transfer opens `target`."""

    def opened(target: StudyStore) -> Any:
        monkeypatch.setattr(module, "prepare", lambda *_: target)
        config = replace(make.config(probe={"strengths": [0.01]}), data=DataConfig(name="phantom", size=64))
        return make.context(store, config)

    return opened


def test_shared_labels_meet_by_name_and_their_auroc_is_scikit_learns(make, ready, caplog) -> None:
    target = relabelled(make.store(seed=5), OTHER)
    context = ready(target)
    with caplog.at_level(logging.WARNING):
        outcome = transfer(CONFIG, context)
    assert isinstance(outcome, Evaluated)
    found = {(m.view, m.label): m for m in outcome.metrics if m.metric == "auroc"}
    test = target.splits["test"]
    features, _ = extract(target, context.method, context.config.evaluation, "cpu")["test"].at("study")
    probability = label_probe(context).probabilities(features)
    areas = []
    for label in ("Cardiomegaly", "Pleural Effusion"):
        truth = test.labels[:, OTHER.index(label)]
        areas.append(roc_auc_score(truth, probability[:, context.store.label_names.index(label)]))
        assert found["target", label].value == pytest.approx(areas[-1], abs=1e-6)
        assert areas[-1] > 0.7
    (macro,) = [m for m in outcome.metrics if (m.metric, m.view) == ("macro_auroc", "target")]
    assert (macro.value, macro.n) == (pytest.approx(np.mean(areas), abs=1e-6), 2)
    assert math.isnan(found["target", "Edema"].value)
    assert found["target", "Edema"].n == 0
    assert "no label 'Edema'" in caplog.text
    frame = pd.read_parquet(io.BytesIO(outcome.files["transfer.parquet"]))
    assert [name for name in frame if name.startswith("p:")] == ["p:Cardiomegaly", "p:Pleural Effusion"]
    assert len(frame) == test.n_studies
    home = pd.read_parquet(io.BytesIO(outcome.files["transfer_home.parquet"]))
    assert set(home["study_id"]) == set(context.store.splits["test"].study_ids)


def test_patients_who_were_trained_on_are_left_out_of_a_target_of_the_same_reader(make, store, ready, caplog) -> None:
    target = make.store(seed=5)
    patients = target.splits["test"].patient_ids.copy()
    patients[:7] = store.splits["train"].patient_ids[0]
    known = replace(target, splits={**target.splits, "test": replace(target.splits["test"], patient_ids=patients)})
    outcome = transfer(CONFIG, ready(known))
    frame = pd.read_parquet(io.BytesIO(outcome.files["transfer.parquet"]))
    assert len(frame) == len(patients) - 7
    assert "7 target studies" in caplog.text
    patients[:] = store.splits["train"].patient_ids[0]
    with pytest.raises(DataError, match="was trained on"):
        transfer(CONFIG, ready(known))


def test_labels_that_are_not_there_are_named(store) -> None:
    target = relabelled(store, OTHER)
    assert shared_labels(store, target, ["Pleural Effusion"]) == (["Pleural Effusion"], [])
    with pytest.raises(DataError, match=r"the target data set \(other\) has no label 'Edema'"):
        shared_labels(store, target, ["Edema"])
    with pytest.raises(DataError, match="share no label"):
        shared_labels(store, relabelled(store, ("Nodule",)), [])


def test_settings_of_the_target_are_those_of_a_data_set(make) -> None:
    trial = replace(make.config(), data=DataConfig(name="phantom", size=64, resize="crop"))
    found = target_config(TransferConfig(data=["data=phantom", "data.seed=4", "data.sites=[ward]"]), trial)
    assert (found.name, found.seed, found.sites, found.size, found.resize) == ("phantom", 4, ["ward"], 64, "crop")
    for data, message in (
        (["data=phantom", "data.sed=4"], "did you mean data.seed"),
        (["data=phantm"], "did you mean phantom"),
        (["data.size=32"], "trained on 64 px"),
    ):
        with pytest.raises(ConfigError, match=message):
            open_target(TransferConfig(data=data), trial)
    with pytest.raises(ConfigError, match="is no setting of a data set"):
        TransferConfig(data=["method=mae"])


def test_without_a_target_there_is_a_reason(make, store) -> None:
    outcome = transfer(TransferConfig(), make.context(store))
    assert isinstance(outcome, Skipped)
    assert "names no target" in outcome.reason
