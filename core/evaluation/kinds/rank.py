"""How much of its space an encoder uses: effective rank and spread of the embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.config import setting
from core.data.types import Floats
from core.errors import check_range
from core.evaluation.base import EVALUATIONS, Evaluated, EvaluationContext, Metric
from core.evaluation.features import LEVELS
from core.evaluation.kinds.knn import unit


@dataclass
class RankConfig:
    """Settings of the effective rank."""

    max_studies: int = setting(25_600, "at most so many training studies, evenly spaced (RankMe's number)")

    def __post_init__(self) -> None:
        check_range("evaluation.rank.max_studies", self.max_studies, 2, 10_000_000)


@EVALUATIONS.register("rank", config=RankConfig, source="Roy & Vetterli 2007; Garrido et al. 2023 (RankMe), eq. 1")
def rank(config: RankConfig, context: EvaluationContext) -> Evaluated:
    """Effective rank and embedding spread of the training split's features, at study level and per view."""
    metrics = []
    for view in LEVELS:
        features, present = context.features["train"].at(view)
        rows = np.flatnonzero(present)
        rows = rows[:: max(1, -(-len(rows) // config.max_studies))]
        x = features[rows]
        values = {
            "effective_rank": effective_rank(x),
            "effective_rank_centred": effective_rank(centre(x)),
            "embedding_std": embedding_std(x),
        }
        metrics += [Metric("rank", name, value, len(rows), view=view) for name, value in values.items()]
    return Evaluated(metrics)


def centre(x: Floats) -> Floats:
    """x [n, D] with each column's mean taken out."""
    return x - x.mean(axis=0) if len(x) else x


def effective_rank(x: Floats) -> float:
    """exp of the entropy of the normalised singular values of x [n, D]: from 1 to min(n, D).

    NaN for no rows or for rows of zeros. Roy & Vetterli 2007, definition 1; not centred, as in RankMe.
    """
    if not x.size or not x.any():
        return float("nan")
    values = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    share = values / values.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def embedding_std(features: Floats) -> float:
    """Mean over dimensions of the standard deviation of unit rows [n, D], times sqrt(D).

    0 = collapsed to a point, about 1 = spread over the sphere (Chen & He 2021, section 4.1, times sqrt(D) so that
    widths compare). NaN for no rows.
    """
    if not len(features):
        return float("nan")
    spread = unit(features).astype(np.float64).std(axis=0).mean()
    return float(spread * np.sqrt(features.shape[1]))
