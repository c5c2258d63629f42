"""Retrieval across views: does a study's frontal film find its own lateral among all of the test split's?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.config import setting
from core.data.types import Floats
from core.errors import check_range, require
from core.evaluation.base import EVALUATIONS, Evaluated, EvaluationContext, Metric, Skipped
from core.evaluation.kinds.knn import unit

CHUNK = 1024


@dataclass
class RetrievalConfig:
    """Settings of cross-view retrieval."""

    ranks: list[int] = setting([1, 5, 10], "recall at these ranks")

    def __post_init__(self) -> None:
        require(bool(self.ranks), "evaluation.retrieval.ranks is empty", "give at least one, such as [1]")
        for rank in self.ranks:
            check_range("evaluation.retrieval.ranks", rank, 1, 1_000_000)


@EVALUATIONS.register("retrieval", config=RetrievalConfig, source="ours")
def retrieval(config: RetrievalConfig, context: EvaluationContext) -> Evaluated | Skipped:
    """Recall of a study's other view by cosine, in the test split, over studies that have both.

    `view` of a metric is that of the query: "frontal" is frontal to lateral. chance_at_k is the recall of a
    random order. Other studies of the same patient count as wrong.
    """
    frontal, has_frontal = context.features["test"].at("frontal")
    lateral, has_lateral = context.features["test"].at("lateral")
    both = has_frontal & has_lateral
    if both.sum() < 2:
        return Skipped(f"{both.sum()} test studies have both views; retrieval needs two")
    sides = {"frontal": unit(frontal[both]), "lateral": unit(lateral[both])}
    metrics: list[Metric] = []
    for query, other in (("frontal", "lateral"), ("lateral", "frontal")):
        ahead, level = places(sides[query], sides[other])
        n = len(ahead)
        for k in config.ranks:
            metrics.append(Metric("retrieval", f"recall_at_{k}", recall(ahead, level, k), n, view=query))
            metrics.append(Metric("retrieval", f"chance_at_{k}", min(1.0, k / n), n, view=query))
        metrics.append(Metric("retrieval", "median_rank", float(np.median(ahead + level / 2 + 1)), n, view=query))
    return Evaluated(metrics)


def places(queries: Floats, gallery: Floats) -> tuple[Any, Any]:
    """How many wrong rows of `gallery` are nearer to each query than its own, and how many are just as near.

    queries, gallery: [n, D] unit rows; row i of one belongs to row i of the other. Returns two [n] int64.
    """
    ahead, level = np.empty(len(queries), np.int64), np.empty(len(queries), np.int64)
    for start in range(0, len(queries), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(queries)))
        cosine = queries[rows] @ gallery.T
        own = cosine[np.arange(len(rows)), rows][:, None]
        ahead[rows] = (cosine > own).sum(axis=1)
        level[rows] = (cosine == own).sum(axis=1) - 1
    return ahead, level


def recall(ahead: Any, level: Any, k: int) -> float:
    """Expected share of queries whose own row is among the first k when equals are in random order.

    Counting ties as hits would give a collapsed encoder, whose features are all equal, a perfect score.
    """
    return float(np.clip((k - ahead) / (level + 1), 0.0, 1.0).mean())
