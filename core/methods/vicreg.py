"""VICReg (Bardes, Ponce, LeCun 2021) between the two images that the pairing puts together.

The paper trains a ResNet-50 with LARS (optim=lars here); for the vision transformer AdamW is the default.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from core.config import setting
from core.errors import check_range
from core.losses.vicreg import vicreg_terms, vicreg_total
from core.methods.base import METHODS, MethodContext, ViewBatch
from core.methods.joint_embedding import JointEmbedding, JointEmbeddingConfig
from core.models.heads import layers_flops, mlp


@dataclass
class VICRegConfig(JointEmbeddingConfig):
    """Settings of VICReg (paper, section 4.2)."""

    name: str = setting("vicreg", "method")
    expander: list[int] = setting([8192, 8192, 8192], "widths of the expander's layers")
    invariance: float = setting(25.0, "weight of the invariance term")
    variance: float = setting(25.0, "weight of the variance term")
    covariance: float = setting(1.0, "weight of the covariance term")

    def __post_init__(self) -> None:
        self.check_widths("expander")
        for term in ("invariance", "variance", "covariance"):
            check_range(f"method.{term}", getattr(self, term), 0, 1e6)


@METHODS.register(
    "vicreg",
    config=VICRegConfig,
    source="Bardes, Ponce, LeCun 2021, arXiv 2105.04906",
    overrides={"pairing": "same_view_augmented"},
)
class VICReg(JointEmbedding):
    """Variance-invariance-covariance regularisation of two images' embeddings."""

    config: VICRegConfig

    def __init__(self, config: VICRegConfig, context: MethodContext) -> None:
        super().__init__(config, context)
        self.expander = mlp(context.model.width, list(config.expander))

    def embed(self, features: Tensor, batch: ViewBatch, step: int) -> tuple[Tensor, ...]:
        """Embeddings [pairs of all ranks, d] of both sides."""
        return self.whole_sides(self.expander, features, batch)

    def compare(self, embeddings: tuple[Tensor, ...], batch: ViewBatch, step: int) -> dict[str, Tensor]:
        """Losses "loss", "invariance", "variance", "covariance" over the pairs of all ranks."""
        terms = vicreg_terms(*embeddings)
        weights = self.config.invariance, self.config.variance, self.config.covariance
        return {"loss": vicreg_total(terms, *weights), **terms}

    def head_flops(self) -> float:
        """Floating-point operations of the expander on one image."""
        return layers_flops(self.context.model.width, list(self.config.expander))
