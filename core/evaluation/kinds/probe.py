"""Linear probe of frozen study features, for all labels at once, at label fractions and per view."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from core.config import setting
from core.data.fractions import label_subset
from core.errors import check_choice, check_range, require
from core.evaluation.base import EVALUATIONS, Evaluated, EvaluationContext, Metric
from core.evaluation.features import LEVELS
from core.evaluation.linear import Part, Scaler, choose
from core.evaluation.logistic import fit_path
from core.evaluation.metrics import label_metrics
from core.evaluation.predictions import prediction_frame, stack


@dataclass
class ProbeConfig:
    """Settings of the linear probe."""

    fractions: list[float] = setting([0.01, 0.1, 1.0], "shares of training patients whose labels are used")
    draws: int = setting(3, "draws of patients at each fraction below 1")
    strengths: list[float] = setting(
        [1e-4, 1e-3, 1e-2, 1e-1, 1.0], "inverse L2 strengths C to choose from on validate, smallest first"
    )
    views: list[str] = setting(["frontal", "lateral"], "single views also probed at the largest fraction")
    tolerance: float = setting(1e-3, "largest gradient at which a fit has converged")

    def __post_init__(self) -> None:
        require(bool(self.fractions), "evaluation.probe.fractions is empty", "give at least one, such as [1.0]")
        for fraction in self.fractions:
            check_range("evaluation.probe.fractions", fraction, 0, 1, open_low=True)
        require(bool(self.strengths), "evaluation.probe.strengths is empty", "give at least one, such as [0.01]")
        for strength in self.strengths:
            check_range("evaluation.probe.strengths", strength, 0, 1e9, open_low=True)
        for view in self.views:
            check_choice("evaluation.probe.views", view, LEVELS)
        check_range("evaluation.probe.draws", self.draws, 1, 1000)
        check_range("evaluation.probe.tolerance", self.tolerance, 0, 1, open_low=True)


@dataclass(frozen=True)
class Setup:
    """One probe: at which label fraction, which draw of the patients, on which view's features."""

    label_fraction: float
    draw: int = 0
    view: str = "study"


def setups(config: ProbeConfig) -> Iterator[Setup]:
    """Every probe that is fitted: fractions x draws at study level (one draw of all), then single views."""
    for fraction in config.fractions:
        for draw in range(config.draws if fraction < 1.0 else 1):
            yield Setup(fraction, draw)
    for view in config.views:
        yield Setup(max(config.fractions), view=view)


@EVALUATIONS.register("probe", config=ProbeConfig, source="Alain & Bengio 2016; label fractions: ours")
def probe(config: ProbeConfig, context: EvaluationContext) -> Evaluated:
    """Linear probe of frozen features at label fractions, for all labels at once.

    Features are standardised by the whole training split, which needs no labels. The L2 strength is one for all
    labels of a fit, chosen by macro AUROC on validate; it is recorded as the metric "strength".
    """
    metrics: list[Metric] = []
    frames: list[pd.DataFrame] = []
    parts = {view: _parts(context, view) for view in dict.fromkeys(["study", *config.views])}
    for setup in setups(config):
        found, frame = _run(config, context, setup, parts[setup.view])
        metrics += found
        frames.append(frame)
    return Evaluated(metrics, stack(frames))


def _parts(context: EvaluationContext, view: str) -> dict[str, Part]:
    raw = {}
    for split in ("train", "validate", "test"):
        x, present = context.features[split].at(view)
        raw[split] = Part(x, context.labels[split], np.arange(len(x))).where(present)
    scaler = Scaler.of(raw["train"].x)
    return {split: replace(part, x=scaler(part.x)) for split, part in raw.items()}


def _run(
    config: ProbeConfig, context: EvaluationContext, setup: Setup, parts: dict[str, Part]
) -> tuple[list[Metric], pd.DataFrame]:
    chosen = label_subset(context.store.splits["train"], setup.label_fraction, setup.draw)
    train = parts["train"].where(chosen[parts["train"].rows])
    models = fit_path(train.x, train.y, config.strengths, config.tolerance, context.device)
    best = choose(models, parts["validate"])
    test, table = parts["test"], context.store.splits["test"]
    probability = models[best].probabilities(test.x)
    where = vars(setup)
    metrics = label_metrics("probe", table.label_names, test.y, probability, **where)
    metrics.append(Metric("probe", "strength", config.strengths[best], len(parts["validate"].rows), **where))
    metrics.append(Metric("probe", "train_studies", float(len(train.rows)), len(train.rows), **where))
    return metrics, prediction_frame("probe", table, test.rows, test.y, probability, **where)
