"""A method's own classifier: what the supervised baseline predicts, at the label fraction it was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from core.config import setting
from core.data.fractions import label_subset
from core.data.store import StudyTable
from core.data.types import Floats, Ints
from core.errors import check_range
from core.evaluation.base import EVALUATIONS, Evaluated, EvaluationContext, Skipped
from core.evaluation.logistic import fittable, sigmoid
from core.evaluation.metrics import label_metrics
from core.evaluation.predictions import prediction_frame


@dataclass
class HeadConfig:
    """Settings of the method's own classifier."""

    batch_size: int = setting(128, "studies per forward pass")

    def __post_init__(self) -> None:
        check_range("evaluation.head.batch_size", self.batch_size, 1, 1_000_000)


@EVALUATIONS.register("head", config=HeadConfig, source="arXiv 2507.02987 code: mean of the views' logits")
def head(config: HeadConfig, context: EvaluationContext) -> Evaluated | Skipped:
    """The method's own classifier on the test split, at its label fraction; draw = the trial's seed.

    A label that has one class only among the labelled training studies gets no prediction, as in the probe.
    """
    if not hasattr(context.method, "predict"):
        return Skipped(f"method {context.config.method.name} has no classifier of its own")
    table = context.store.splits["test"]
    probability = predict(context.method, table, config.batch_size, context.device)
    fraction = float(context.config.method.label_fraction)
    labelled = label_subset(context.store.splits["train"], fraction, context.seed)
    probability[:, ~fittable(context.labels["train"][labelled])] = np.nan
    truth = context.labels["test"]
    where: dict[str, Any] = {"label_fraction": fraction, "draw": context.seed}
    rows = np.arange(table.n_studies)
    return Evaluated(
        label_metrics("head", table.label_names, truth, probability, **where),
        prediction_frame("head", table, rows, truth, probability, **where),
    )


def predict(method: Any, table: StudyTable, batch_size: int, device: str) -> Floats:
    """Probabilities [S, L] float32 of every study of a table, by `method.predict`."""
    logits = np.empty((table.n_studies, len(table.label_names)), np.float32)
    with torch.inference_mode():
        for studies in _batches(table.n_studies, batch_size):
            rows = np.arange(table.start[studies[0]], table.start[studies[-1] + 1])
            counts = np.diff(table.start)[studies]
            images = torch.from_numpy(np.ascontiguousarray(table.pixels.read(rows))).unsqueeze(1).to(device)
            view = torch.from_numpy(table.view[rows]).to(device)
            study = torch.from_numpy(np.repeat(np.arange(len(studies)), counts)).to(device)
            logits[studies] = method.predict(images, view, study, len(studies)).float().cpu().numpy()
    return sigmoid(logits)


def _batches(total: int, size: int) -> Iterator[Ints]:
    for start in range(0, total, size):
        yield np.arange(start, min(start + size, total))
