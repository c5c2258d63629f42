"""Barlow Twins (Zbontar et al. 2021) between the two images that the pairing puts together.

The paper trains a ResNet-50 with LARS (optim=lars here); for the vision transformer AdamW is the default. Its colour
distortion, blur and solarisation are not here: augmentation is the suite's.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from core.config import setting
from core.errors import check_range
from core.losses.barlow_twins import barlow_twins_terms
from core.methods.base import METHODS, MethodContext, ViewBatch
from core.methods.joint_embedding import JointEmbedding, JointEmbeddingConfig
from core.models.heads import layers_flops, mlp


@dataclass
class BarlowTwinsConfig(JointEmbeddingConfig):
    """Settings of Barlow Twins (paper, section 2.2)."""

    name: str = setting("barlow_twins", "method")
    projector: list[int] = setting([8192, 8192, 8192], "widths of the projector's layers")
    redundancy: float = setting(0.005, "lambda, weight of the off-diagonal term")

    def __post_init__(self) -> None:
        self.check_widths("projector")
        check_range("method.redundancy", self.redundancy, 0, 1e6)


@METHODS.register(
    "barlow_twins",
    config=BarlowTwinsConfig,
    source="Zbontar et al. 2021, arXiv 2103.03230",
    overrides={"pairing": "same_view_augmented"},
)
class BarlowTwins(JointEmbedding):
    """Redundancy reduction: the cross-correlation of two images' embeddings towards the identity."""

    config: BarlowTwinsConfig

    def __init__(self, config: BarlowTwinsConfig, context: MethodContext) -> None:
        super().__init__(config, context)
        self.projector = mlp(context.model.width, list(config.projector))

    def embed(self, features: Tensor, batch: ViewBatch, step: int) -> tuple[Tensor, ...]:
        """Embeddings [pairs of all ranks, d] of both sides."""
        return self.whole_sides(self.projector, features, batch)

    def compare(self, embeddings: tuple[Tensor, ...], batch: ViewBatch, step: int) -> dict[str, Tensor]:
        """Losses "loss", "invariance", "redundancy" over the pairs of all ranks."""
        terms = barlow_twins_terms(*embeddings)
        return {"loss": terms["invariance"] + self.config.redundancy * terms["redundancy"], **terms}

    def head_flops(self) -> float:
        """Floating-point operations of the projector on one image."""
        return layers_flops(self.context.model.width, list(self.config.projector))
