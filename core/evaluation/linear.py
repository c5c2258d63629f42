"""What linear probes share: standardised features, the strength chosen on validate, slopes in raw features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.data.types import Bools, Floats, Ints
from core.evaluation.logistic import Doubles, LogisticModel, fit_path
from core.evaluation.metrics import macro_auroc

if TYPE_CHECKING:
    from core.evaluation.base import EvaluationContext


@dataclass(frozen=True)
class Part:
    """The studies of one split that take part. x: [n, D], y: [n, L] 1, 0, NaN = left out, rows: [n] study rows."""

    x: Floats
    y: Floats
    rows: Ints

    def where(self, keep: Bools) -> Part:
        """The same part with only the studies where `keep` [n] holds."""
        return Part(self.x[keep], self.y[keep], self.rows[keep])


@dataclass(frozen=True)
class Scaler:
    """Standardises features [n, D] by the mean and the deviation of others. mean, scale: [D] float64."""

    mean: Doubles
    scale: Doubles

    @classmethod
    def of(cls, x: Floats) -> Scaler:
        """The scaler of features [n, D]; it changes nothing for n = 0."""
        width = x.shape[1]
        mean = x.mean(axis=0, dtype=np.float64) if len(x) else np.zeros(width)
        spread = x.std(axis=0, dtype=np.float64) if len(x) else np.ones(width)
        # A feature that does not vary stays at zero instead of dividing by zero.
        return cls(mean, np.where(spread > 0, spread, 1.0))

    def __call__(self, x: Floats) -> Floats:
        """Features [n, D] float32, standardised."""
        scaled: Floats = ((x - self.mean) / self.scale).astype(np.float32)
        return scaled


@dataclass(frozen=True)
class LinearProbe:
    """A fitted probe of raw features."""

    scaler: Scaler
    model: LogisticModel
    strength: float

    def probabilities(self, x: Floats) -> Floats:
        """Probabilities [n, L] float32 of raw features [n, D]; NaN for a label that could not be fitted."""
        return self.model.probabilities(self.scaler(x))

    @property
    def slopes(self) -> Floats:
        """[D, L] float32: by how much a label's logit rises with each raw feature."""
        slopes: Floats = (self.model.weight / self.scaler.scale[:, None]).astype(np.float32)
        return slopes


def fit_probe(
    train: Part, validate: Part, strengths: Sequence[float], tolerance: float, device: str = "cpu"
) -> LinearProbe:
    """The probe of raw features with the strength that does best on validate (see `choose`)."""
    scaler = Scaler.of(train.x)
    models = fit_path(scaler(train.x), train.y, strengths, tolerance, device)
    best = choose(models, Part(scaler(validate.x), validate.y, validate.rows))
    return LinearProbe(scaler, models[best], strengths[best])


def label_probe(context: EvaluationContext) -> LinearProbe:
    """The probe of all labels on study features, on all training labels, with the settings of the linear probe."""
    parts = []
    for split in ("train", "validate"):
        x, present = context.features[split].at("study")
        parts.append(Part(x, context.labels[split], np.arange(len(x))).where(present))
    settings = context.config.evaluation.probe
    return fit_probe(parts[0], parts[1], settings.strengths, settings.tolerance, context.device)


def choose(models: list[LogisticModel], validate: Part) -> int:
    """Index of the model with the best macro AUROC on validate; the first (strongest penalty) among equals."""
    if len(models) == 1:
        return 0
    scores = [macro_auroc(validate.y, model.probabilities(validate.x)) for model in models]
    return int(np.argmax(np.nan_to_num(scores, nan=-1.0)))
