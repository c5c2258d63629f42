"""Transfer: the linear probe of this data set on the test studies of another one, over the labels that both have."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.compose import compose, to_trial
from core.config import DataConfig, TrialConfig, setting
from core.data.build import prepare
from core.data.store import StudyStore, StudyTable
from core.errors import ConfigError, DataError, did_you_mean, require
from core.evaluation.base import EVALUATIONS, Evaluated, EvaluationContext, Metric, Skipped
from core.evaluation.features import extract
from core.evaluation.linear import label_probe
from core.evaluation.metrics import apply_policy, label_metrics
from core.evaluation.predictions import packed, prediction_frame
from core.evaluation.written import TARGET, TRANSFER, TRANSFER_HOME

LOG = logging.getLogger(__name__)
TEST = "test"


@dataclass
class TransferConfig:
    """Settings of transfer."""

    data: list[str] = setting(
        [], "the target data set, in overrides as for `viewpair data`: ['data=folder','data.csv=a.csv']"
    )
    labels: list[str] = setting([], "labels that both data sets must have; empty = all that both have")

    def __post_init__(self) -> None:
        for override in self.data:
            what = f"evaluation.transfer.data: {override!r} is no setting of a data set"
            require(override.startswith(("data=", "data.")), what, "write data=<reader>, then data.<setting>=<value>")


@EVALUATIONS.register("transfer", config=TransferConfig, source="ours; site shift: arXiv 2604.00263")
def transfer(config: TransferConfig, context: EvaluationContext) -> Evaluated | Skipped:
    """Linear probe trained on this data set's labels and tested on another data set's test split.

    Neither encoder nor probe has seen the target; patients of this data set's training are left out of it where both
    come from one reader. A label that the target lacks is named in the log and, as undefined, in the metrics.
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
    metrics: list[Metric] = []
    files: dict[str, bytes] = {}
    for view, file, table, own in (
        (TARGET, TRANSFER, away, features[TEST]),
        ("study", TRANSFER_HOME, context.store.splits[TEST], context.features[TEST]),
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
    """The target data set, built first where it is not."""
    return prepare(target_config(config, trial), Path(trial.paths.root))


def target_config(config: TransferConfig, trial: TrialConfig) -> DataConfig:
    """The target's settings; its images are squared as the trial's where they do not say otherwise.

    Raises ConfigError for a reader, key or value that does not exist, and for images of another size.
    """
    size, resize = trial.data.size, trial.data.resize
    shared = [f"model.patch={trial.model.patch}", f"data.size={size}", f"data.resize={resize}"]
    try:
        found: DataConfig = to_trial(compose([*shared, *config.data])).data
    except ConfigError as error:
        raise ConfigError(f"evaluation.transfer.data: {error.what}", error.hint) from error
    what = f"evaluation.transfer.data: data.size={found.size}, but the encoder was trained on {size} px"
    require(found.size == size, what, "leave data.size out")
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


def without_known_patients(target: StudyStore, source: StudyStore) -> StudyTable:
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
