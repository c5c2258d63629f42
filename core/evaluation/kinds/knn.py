"""Weighted k-nearest-neighbour classification of frozen study features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.config import setting
from core.data.types import Bools, Floats
from core.errors import check_range
from core.evaluation.base import EVALUATIONS, Evaluated, EvaluationContext
from core.evaluation.logistic import fittable
from core.evaluation.metrics import label_metrics
from core.evaluation.predictions import prediction_frame

CHUNK = 1024


@dataclass
class KnnConfig:
    """Settings of the nearest-neighbour classifier."""

    k: int = setting(20, "neighbours that vote (DINO's choice)")
    temperature: float = setting(0.07, "a neighbour's weight is exp(cosine / temperature)")

    def __post_init__(self) -> None:
        check_range("evaluation.knn.k", self.k, 1, 100_000)
        check_range("evaluation.knn.temperature", self.temperature, 0, 1e6, open_low=True)


@EVALUATIONS.register("knn", config=KnnConfig, source="Wu et al. 2018, section 3.4; Caron et al. 2021, appendix F.1")
def knn(config: KnnConfig, context: EvaluationContext) -> Evaluated:
    """Weighted k-NN by cosine over all training studies, at study level; a label's probability is its share."""
    train, has_train = context.features["train"].at("study")
    test, has_test = context.features["test"].at("study")
    rows = np.flatnonzero(has_test)
    truth = context.labels["test"][rows]
    probability = vote(train[has_train], context.labels["train"][has_train], test[rows], config)
    table = context.store.splits["test"]
    metrics = label_metrics("knn", table.label_names, truth, probability, label_fraction=1.0)
    return Evaluated(metrics, prediction_frame("knn", table, rows, truth, probability, label_fraction=1.0))


def unit(features: Floats) -> Floats:
    """Rows [n, D] scaled to length 1, float32; a row of zeros stays zero."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    scaled: Floats = (features / np.where(norms > 0, norms, 1.0)).astype(np.float32)
    return scaled


def vote(train: Floats, labels: Floats, queries: Floats, config: KnnConfig) -> Floats:
    """Probabilities [Q, L] of queries [Q, D]: weighted share of positives among the k nearest of train [n, D].

    labels: [n, L] 1, 0, NaN = ignored. Neighbours of a label are sought among the studies where it is known.
    NaN for a label that has one class only among these.
    """
    probability = np.full((len(queries), labels.shape[1]), np.nan, np.float32)
    gallery, asked, known = unit(train), unit(queries), ~np.isnan(labels)
    for columns in _alike(known, fittable(labels)):
        rows = np.flatnonzero(known[:, columns[0]])
        for start in range(0, len(asked), CHUNK):
            part = slice(start, start + CHUNK)
            cosine = asked[part] @ gallery[rows].T
            probability[part, columns] = _share(cosine, labels[rows][:, columns], config)
    return probability


def _alike(known: Bools, keep: Bools) -> list[list[int]]:
    # Labels known for the same studies share their neighbours: under most policies, all of them.
    groups: dict[bytes, list[int]] = {}
    for column in np.flatnonzero(keep):
        groups.setdefault(known[:, column].tobytes(), []).append(int(column))
    return list(groups.values())


def _share(cosine: Floats, labels: Floats, config: KnnConfig) -> Floats:
    k = min(config.k, cosine.shape[1])
    nearest = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
    closeness = np.take_along_axis(cosine, nearest, axis=1).astype(np.float64)
    # The greatest cosine is taken out first: exp(1 / 0.07) is 1.6 million, and a smaller temperature overflows.
    weight = np.exp((closeness - closeness.max(axis=1, keepdims=True)) / config.temperature)
    weight /= weight.sum(axis=1, keepdims=True)
    share: Floats = np.einsum("qk,qkl->ql", weight, labels[nearest]).astype(np.float32)
    return share
