"""A 2-D map of the test films' features: principal components and, on request, t-SNE."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.config import setting
from core.data.types import Floats
from core.errors import check_choice, check_range, require
from core.evaluation.base import EVALUATIONS, Evaluated, EvaluationContext, Skipped
from core.evaluation.linear import Scaler
from core.evaluation.written import EMBEDDING

LEAST = 5


@dataclass
class EmbeddingConfig:
    """Settings of the map."""

    maps: list[str] = setting(["pca"], "which maps: pca | tsne (seconds to minutes)")
    max_images: int = setting(1000, "at most so many test films, evenly spaced")
    perplexity: float = setting(30.0, "t-SNE's; lowered where there are too few films for it")

    def __post_init__(self) -> None:
        require(bool(self.maps), "evaluation.embedding.maps is empty", "give at least one, such as [pca]")
        for name in self.maps:
            check_choice("evaluation.embedding.maps", name, MAPS)
        check_range("evaluation.embedding.max_images", self.max_images, LEAST, 1_000_000)
        check_range("evaluation.embedding.perplexity", self.perplexity, 1, 10_000)


def principal(x: Floats, _perplexity: float, _seed: int) -> Floats:
    """The first two principal components [n, 2] of x [n, D], each with the sign that its largest loading has."""
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    left, values, axes = np.linalg.svd(centred, full_matrices=False)
    sign = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    found = np.zeros((len(x), 2), np.float32)
    width = min(2, len(values))
    found[:, :width] = (left * values * np.where(sign == 0, 1, sign))[:, :width]
    return found


def neighbours(x: Floats, perplexity: float, seed: int) -> Floats:
    """t-SNE [n, 2] of x [n, D] (van der Maaten & Hinton 2008), on one thread so that it is the same every time."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):
        fitted = TSNE(perplexity=min(perplexity, (len(x) - 1) / 3), init="pca", random_state=seed).fit_transform(x)
    found: Floats = fitted.astype(np.float32)
    return found


MAPS: Mapping[str, Callable[[Floats, float, int], Floats]] = {"pca": principal, "tsne": neighbours}


@EVALUATIONS.register("embedding", config=EmbeddingConfig, source="PCA; t-SNE: van der Maaten & Hinton 2008")
def embedding(config: EmbeddingConfig, context: EvaluationContext) -> Evaluated | Skipped:
    """embedding.npz: pca, tsne [N, 2] float32; view [N] int64; site [N] str; truth [N, L] float32; labels [L] str.

    A point is a test film; its site and labels (under the label policy) are its study's. Features are standardised.
    """
    table, own = context.store.splits["test"], context.features["test"]
    if table.n_images < LEAST:
        return Skipped(f"{table.n_images} test films are too few for a map")
    count = min(config.max_images, table.n_images)
    rows = np.arange(count) * table.n_images // count
    x = Scaler.of(own.image)(own.image[rows])
    study = own.study[rows]
    arrays: dict[str, Any] = {name: MAPS[name](x, config.perplexity, context.seed) for name in config.maps}
    arrays |= {"view": own.view[rows], "site": table.sites[study], "truth": context.labels["test"][study]}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays, labels=np.array(table.label_names))
    return Evaluated([], files={EMBEDDING: buffer.getvalue()})
