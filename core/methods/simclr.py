"""SimCLR (Chen, Kornblith, Norouzi, Hinton 2020) between the two images that the pairing puts together.

The paper trains a ResNet-50 with LARS; for the vision transformer AdamW is the default, as with VICReg. Its colour
distortion and blur are not here: augmentation is the suite's, the same for all methods.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from core.config import setting
from core.errors import check_range
from core.losses.alignment import infonce
from core.methods.base import METHODS, MethodContext, ViewBatch
from core.methods.joint_embedding import JointEmbedding, JointEmbeddingConfig
from core.models.heads import BatchNorm, layers_flops, mlp


@dataclass
class SimCLRConfig(JointEmbeddingConfig):
    """Settings of SimCLR (paper, section 2.1 and appendix B.9)."""

    name: str = setting("simclr", "method")
    dimension: int = setting(128, "width of the embeddings; the hidden layer is as wide as the encoder (section 2.1)")
    temperature: float = setting(0.1, "of NT-Xent (table 5 and appendix B.9)")

    def __post_init__(self) -> None:
        check_range("method.dimension", self.dimension, 1, 1e6)
        check_range("method.temperature", self.temperature, 0, 1e3, open_low=True)


@METHODS.register(
    "simclr",
    config=SimCLRConfig,
    source="Chen et al. 2020, arXiv 2002.05709",
    overrides={"pairing": "same_view_augmented"},
)
class SimCLR(JointEmbedding):
    """Contrastive learning: NT-Xent between two images' embeddings against all others of the batch."""

    config: SimCLRConfig

    def __init__(self, config: SimCLRConfig, context: MethodContext) -> None:
        super().__init__(config, context)
        width = context.model.width
        last = BatchNorm(config.dimension)
        # The released projector ends in a batch norm with a scale and without a shift.
        last.bias.requires_grad_(False)
        self.projector = nn.Sequential(*mlp(width, [width, config.dimension]), last)

    def embed(self, features: Tensor, batch: ViewBatch, step: int) -> tuple[Tensor, ...]:
        """Embeddings [N, d] of all images: one without a partner is a negative for others, and no anchor."""
        return (self.projector(features),)

    def compare(self, embeddings: tuple[Tensor, ...], batch: ViewBatch, step: int) -> dict[str, Tensor]:
        """Loss "loss": NT-Xent over the images of all ranks (equation 1)."""
        return {"loss": infonce(embeddings[0], batch, self.config.temperature)}

    def head_flops(self) -> float:
        """Floating-point operations of the projector on one image."""
        width = self.context.model.width
        return layers_flops(width, [width, self.config.dimension])
