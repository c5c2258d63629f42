"""Transfer: the linear probe of this data set on the test studies of another one, over the labels that both have."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core.config import DataConfig, TrialConfig, setting
from core.data.build import prepare
from core.data.readers.base import READERS
from core.data.store import StudyStore
from core.errors import ConfigError, DataError, did_you_mean, require
from core.evaluation.base import EVALUATIONS, Evaluated, EvaluationContext, Metric, Skipped
from core.evaluation.features import extract
from core.evaluation.linear import label_probe
from core.evaluation.metrics import apply_policy, label_metrics
from core.evaluation.predictions import packed, prediction_frame

LOG = logging.getLogger(__name__)
FILE, HOME_FILE = "transfer.parquet", "transfer_home.parquet"
TARGET, TEST = "target", "test"


@dataclass
class TransferConfig:
    """Settings of transfer."""

    data: dict[str, Any] = setting({}, "the target data set, as settings of a reader: {name: folder, csv: other.csv}")
    labels: list[str] = setting([], "labels that both data sets must have; empty = all that both have")

    def __post_init__(self) -> None:
        what = f"evaluation.transfer.data={dict(self.data)} names no reader"
        require(not self.data or "name" in self.data, what, f"give name, one of {', '.join(READERS.names())}")


@EVALUATIONS.register("transfer", config=TransferConfig, source="ours; site shift: arXiv 2604.00263")
def transfer(config: TransferConfig, context: EvaluationContext) -> Evaluated | Skipped:
    """Linear probe trained on this data set's labels and tested on another data set's test split.

    Neither encoder nor probe has seen the target; patients of this data set's training are left out of it where both
    come from one reader. A label that only one of the two has is named in the log and, as undefined, in the metrics.
    view is "target" for the other data set's studies, "study" for this one's over the same labels.
    transfer.parquet, transfer_home.parquet: predictions of the shared labels there and here, columns as in `Evaluated`.
    """
    if not config.data:
        return Skipped("evaluation.transfer.data names no target data set")
    target = open_target(config, context.config)
    names, lacking = shared_labels(context.store, target, config.labels)
    for name in lacking:
        LOG.warning("transfer: the target data set %s has no label %r", target.name, name)
    away = without_known_patients(target, context.store)
    evaluation = context.config.evaluation
    features = extract(replace(target, splits={TEST: away}), context.method, evaluation, context.device)
    probe, order = label_probe(context), [context.store.label_names.index(name) for name in names]
    metrics, files = [], {}
    for view, file, table, own in (
        (TARGET, FILE, away, features[TEST]),
        ("study", HOME_FILE, context.store.splits[TEST], context.features[TEST]),
    ):
        x, present = own.at("study")
        columns = [table.label_names.index(name) for name in names]
        truth = apply_policy(table.labels, evaluation.label_policy)[present][:, columns]
        probability = probe.probabilities(x[present])[:, order]
        metrics += label_metrics("transfer", names, truth, probability, label_fraction=1.0, view=view)
        shown = replace(table, label_names=tuple(names))
        frame = prediction_frame("transfer", shown, np.flatnonzero(present), truth, probability, label_fraction=1.0)
        files[file] = packed(frame)
    metrics += [Metric("transfer", "auroc", float("nan"), 0, name, label_fraction=1.0, view=TARGET) for name in lacking]
    return Evaluated(metrics, files=files)


def open_target(config: TransferConfig, trial: TrialConfig) -> StudyStore:
    """The target data set, built first where it is not. Its images are of the trial's size unless the settings say."""
    data = target_config(config, trial)
    what = f"evaluation.transfer.data.size={data.size}, but the encoder was trained on {trial.data.size} px"
    require(data.size == trial.data.size, what, f"leave it out, or set {trial.data.size}")
    return prepare(data, Path(trial.paths.root))


def target_config(config: TransferConfig, trial: TrialConfig) -> DataConfig:
    """The target's settings as its reader's own config. Raises ConfigError for a key or value that it does not have."""
    kind = READERS.get(str(config.data["name"])).config
    node = OmegaConf.structured(kind)
    for key in config.data:
        if key not in node:
            hint = did_you_mean(str(key), [str(name) for name in node])
            raise ConfigError(f"evaluation.transfer.data has no key {key!r} for name={config.data['name']}", hint)
    settings: dict[Any, Any] = {"size": trial.data.size, "resize": trial.data.resize, **config.data}
    try:
        found: Any = OmegaConf.to_object(OmegaConf.merge(node, settings))
    except OmegaConfBaseException as error:
        raise ConfigError(f"evaluation.transfer.data: {str(error).splitlines()[0]}") from error
    assert isinstance(found, DataConfig)
    return found


def shared_labels(source: StudyStore, target: StudyStore, wanted: list[str]) -> tuple[list[str], list[str]]:
    """Labels that both have, in the source's order, and those of the source that the target lacks.

    Raises DataError when there is no common one, or when one of `wanted` is missing on either side.
    """
    for side, store in (("this data set", source), ("the target data set", target)):
        absent = [name for name in wanted if name not in store.label_names]
        if absent:
            what = f"evaluation.transfer.labels: {side} ({store.name}) has no label {', '.join(map(repr, absent))}"
            raise DataError(what, did_you_mean(absent[0], store.label_names))
    names = [name for name in source.label_names if name in target.label_names]
    if not names:
        what = f"{source.name} and the target {target.name} share no label"
        raise DataError(what, f"{', '.join(source.label_names)} against {', '.join(target.label_names)}")
    lacking = [name for name in source.label_names if name not in target.label_names]
    return ([name for name in names if name in wanted], []) if wanted else (names, lacking)


def without_known_patients(target: StudyStore, source: StudyStore) -> Any:
    """The target's test studies, less those of patients that were trained on; ids compare within one reader only."""
    test = target.splits[TEST]
    if target.name != source.name:
        return test
    known = np.concatenate([source.splits[split].patient_ids for split in ("train", "validate")])
    strangers = ~np.isin(test.patient_ids, known)
    if not strangers.any():
        raise DataError(
            f"every test patient of the target {target.name} was trained on",
            "the target must hold other patients than this data set's train and validate splits",
        )
    if not strangers.all():
        LOG.warning("transfer: %d target studies are of patients trained on; left out", int((~strangers).sum()))
    return test.subset(strangers)
