"""What an evaluation is: something measured on a trained encoder, without re-training it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from core.data.types import Floats
from core.registry import Registry

if TYPE_CHECKING:
    from core.config import TrialConfig
    from core.data.store import StudyStore
    from core.evaluation.features import Features
    from core.methods.base import Method


@dataclass(frozen=True)
class Metric:
    """One number. NaN means undefined; `n` says over how many studies (or labels, for a macro) it is.

    evaluation: name of the evaluation. metric: auroc, ap, brier, macro_auroc, recall_at_1, ...
    label: the label, or "" for a macro or label-free metric. label_fraction: in (0, 1], NaN if it has none.
    draw: which draw of the label fraction. view: "study" (views averaged), "frontal", "lateral".
    n_positive: positives among the n studies (-1 where it makes no sense).
    """

    evaluation: str
    metric: str
    value: float
    n: int
    label: str = ""
    label_fraction: float = float("nan")
    draw: int = 0
    view: str = "study"
    n_positive: int = -1


@dataclass
class Evaluated:
    """What an evaluation returns.

    predictions: None, or a row per test study with columns evaluation, label_fraction (float), draw (int),
    view, study_id, patient_id and for every label L: "p:L" (probability, NaN = none) and "y:L" (1, 0, NaN
    under the label policy). files: name -> bytes of extra files to keep beside the result.
    skipped: evaluation -> why it does not apply (filled in when several are put together).
    """

    metrics: list[Metric]
    predictions: pd.DataFrame | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Skipped:
    """What an evaluation returns when it does not apply to this method or data set; `reason` is recorded."""

    reason: str


@dataclass(frozen=True)
class EvaluationContext:
    """What an evaluation may use.

    features: frozen features of every split, computed once. labels: per split, [S, L] float32 under the label
    policy: 1, 0, NaN = ignored. seed: the trial's. device: where the method's weights lie.
    """

    config: TrialConfig
    store: StudyStore
    method: Method
    features: Features
    labels: Mapping[str, Floats]
    seed: int
    device: str


EvaluationFunction = Callable[[Any, EvaluationContext], Evaluated | Skipped]
EVALUATIONS: Registry[EvaluationFunction] = Registry("evaluation_config", "core.evaluation.kinds")
