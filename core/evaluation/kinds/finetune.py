"""Fine-tuning of the whole encoder at label fractions, with layer-wise rates and early stopping on validate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from core.config import setting
from core.data.fractions import label_subset
from core.data.loader import Loader
from core.data.pairings.none import NoneConfig, NoPairing
from core.data.types import Bools, Floats
from core.errors import check_range, require
from core.evaluation.base import EVALUATIONS, Evaluated, EvaluationContext, Metric, Skipped
from core.evaluation.kinds.head import predict
from core.evaluation.logistic import fittable
from core.evaluation.metrics import label_metrics, macro_auroc
from core.evaluation.predictions import prediction_frame, stack
from core.evaluation.tuning import Classifier, Schedule, Tuned, Tuning
from core.progress import Progress
from core.telemetry import FORWARD_AND_BACKWARD

HISTORY = "finetune.csv"


@dataclass
class FinetuneConfig:
    """Settings of fine-tuning (He et al. 2021, table 9, where not said otherwise). Augmentation is the trial's."""

    fractions: list[float] = setting([0.01, 0.1, 1.0], "shares of training patients whose labels are used")
    draws: int = setting(1, "draws of patients at each fraction below 1")
    epochs: int = setting(50, "most passes over the labelled studies")
    patience: int = setting(10, "epochs without a better macro AUROC on validate before it ends; 0 = never (ours)")
    batch_size: int = setting(64, "studies in one optimiser step")
    base_lr: float = setting(1e-3, "the head's learning rate at a batch of 256 studies; scaled linearly")
    layer_decay: float = setting(0.75, "a layer's rate / that of the layer above; 1 = one rate for all")
    weight_decay: float = setting(0.05, "weight decay")
    warmup_epochs: float = setting(5.0, "epochs of linear warm-up; then half a cosine to 0")
    predict_batch_size: int = setting(128, "studies per forward pass of validate and test")

    def __post_init__(self) -> None:
        require(bool(self.fractions), "evaluation.finetune.fractions is empty", "give at least one, such as [1.0]")
        for fraction in self.fractions:
            check_range("evaluation.finetune.fractions", fraction, 0, 1, open_low=True)
        check_range("evaluation.finetune.draws", self.draws, 1, 1000)
        check_range("evaluation.finetune.epochs", self.epochs, 1, 1_000_000)
        check_range("evaluation.finetune.patience", self.patience, 0, 1_000_000)
        check_range("evaluation.finetune.batch_size", self.batch_size, 1, 1_000_000)
        check_range("evaluation.finetune.base_lr", self.base_lr, 0, 100, open_low=True)
        check_range("evaluation.finetune.layer_decay", self.layer_decay, 0, 1, open_low=True)
        check_range("evaluation.finetune.weight_decay", self.weight_decay, 0, 10)
        check_range("evaluation.finetune.warmup_epochs", self.warmup_epochs, 0, self.epochs, open_high=True)
        check_range("evaluation.finetune.predict_batch_size", self.predict_batch_size, 1, 1_000_000)

    def schedule(self) -> Schedule:
        """How long and how fast."""
        peak = self.base_lr * self.batch_size / 256
        return Schedule(self.epochs, self.patience, peak, self.warmup_epochs, self.layer_decay, self.weight_decay)

    def setups(self) -> Iterator[tuple[float, int]]:
        """(label fraction, draw) of every classifier that is fine-tuned."""
        for fraction in self.fractions:
            for draw in range(self.draws if fraction < 1.0 else 1):
                yield fraction, draw


@EVALUATIONS.register("finetune", config=FinetuneConfig, source="He et al. 2021, appendix A.1; label fractions: ours")
def finetune(config: FinetuneConfig, context: EvaluationContext) -> Evaluated | Skipped:
    """Fine-tune encoder and a linear head at label fractions, for all labels at once; mean of the views' logits.

    The weights that are measured are those of the epoch with the best macro AUROC on validate. Metrics besides those
    of the labels: train_studies; epochs and best_epoch (from 1); images (forward and backward) and tflop (10^12
    floating-point operations, validate included), which are what it cost.
    """
    if reason := unsuitable(context):
        return Skipped(reason)
    metrics: list[Metric] = []
    frames: list[pd.DataFrame] = []
    histories: list[pd.DataFrame] = []
    setups = list(config.setups())
    with Progress("fine-tuning", len(setups), unit="classifiers") as progress:
        for fraction, draw in setups:
            found, frame, history = _run(config, context, {"label_fraction": fraction, "draw": draw})
            metrics, frames, histories = metrics + found, [*frames, frame], [*histories, history]
            progress.advance()
    curve = pd.concat(histories, ignore_index=True).to_csv(index=False, lineterminator="\n")
    return Evaluated(metrics, stack(frames), {HISTORY: curve.encode()})


def unsuitable(context: EvaluationContext) -> str:
    """Why this encoder or this data set cannot be fine-tuned; "" if it can."""
    if not hasattr(context.method.encoder, "layer_of"):
        return f"the encoder of method {context.config.method.name} does not say what its layers are"
    if not context.store.label_names:
        return "the data set has no labels"
    if not fittable(context.labels["validate"]).any():
        return "no label has both classes in validate, so nothing says when to stop"
    return ""


def _run(
    config: FinetuneConfig, context: EvaluationContext, where: dict[str, Any]
) -> tuple[list[Metric], pd.DataFrame, pd.DataFrame]:
    """Metrics, predictions and history of one classifier. A label with one class in training gets no prediction."""
    train, test = context.store.splits["train"], context.store.splits["test"]
    chosen = label_subset(train, where["label_fraction"], where["draw"])
    known = fittable(context.labels["train"][chosen])
    model = Classifier(context.method.encoder, len(known), context.config.evaluation.pool, context.seed)
    model.to(context.device)
    tuned = _tune(config, context, model, chosen, known) if known.any() else Tuned([], -1, 0)
    probability = _predict(config, context, model, "test", known)
    truth, rows = context.labels["test"], np.arange(test.n_studies)
    metrics = label_metrics("finetune", test.label_names, truth, probability, **where)
    seen = tuned.images * FORWARD_AND_BACKWARD + len(tuned.epochs) * context.store.splits["validate"].n_images
    counts = {
        "train_studies": float(chosen.sum()),
        "epochs": float(len(tuned.epochs)),
        "best_epoch": tuned.best + 1.0,
        "images": float(tuned.images),
        "tflop": seen * model.flops() / 1e12,
    }
    metrics += [Metric("finetune", name, value, int(chosen.sum()), **where) for name, value in counts.items()]
    frame = prediction_frame("finetune", test, rows, truth, probability, **where)
    return metrics, frame, _history(tuned, where)


def _tune(config: FinetuneConfig, context: EvaluationContext, model: Classifier, chosen: Bools, known: Bools) -> Tuned:
    """Train the model on the `chosen` [S] training studies."""
    table = context.store.splits["train"].subset(chosen)
    # Few labelled studies lie in memory-mapped shards, whichever way pre-training has read them.
    reading = replace(context.config.loader, backend="mmap")
    loader = Loader(table, NoPairing(NoneConfig()), reading, seed=context.seed, batch_size=config.batch_size)
    trial = context.config
    bf16, policy = trial.train.precision == "bf16", trial.evaluation.label_policy
    tuning = Tuning(model, loader, config.schedule(), policy, trial.augment, bf16)
    truth = context.labels["validate"]
    return tuning.run(lambda tuned: macro_auroc(truth, _predict(config, context, tuned, "validate", known)))


def _predict(config: FinetuneConfig, context: EvaluationContext, model: Classifier, split: str, known: Bools) -> Floats:
    """Probabilities [S, L] of a split; NaN for labels that are not `known` [L]."""
    probability = predict(model, context.store.splits[split], config.predict_batch_size, context.device)
    probability[:, ~known] = np.nan
    return probability


def _history(tuned: Tuned, where: dict[str, Any]) -> pd.DataFrame:
    rows = [(e, epoch.loss, epoch.score) for e, epoch in enumerate(tuned.epochs, 1)]
    table = pd.DataFrame(rows, columns=["epoch", "loss", "macro_auroc"])
    return table.assign(label_fraction=where["label_fraction"], draw=where["draw"])
