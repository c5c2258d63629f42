"""MLVICX (arXiv 2403.11504) between the two images that the pairing puts together: VICReg at several levels.

The paper trains a ResNet-18 with LARS (optim=lars here); AdamW is the default, as with VICReg. With backbone=resnet18
the settings of `model` are not used.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from core.config import setting
from core.errors import check_choice, check_range
from core.losses.vicreg import vicreg_terms, vicreg_total
from core.methods.base import METHODS, Method, MethodContext, ViewBatch
from core.methods.joint_embedding import JointEmbedding, JointEmbeddingConfig
from core.models.context import ContextResNet, ContextViT
from core.models.heads import BatchNorm, layers_flops, mlp
from core.models.multi_level import MultiLevel
from core.models.vit import normalise

BACKBONES = ("resnet18", "vit")


@dataclass
class MLVICXConfig(JointEmbeddingConfig):
    """Settings of MLVICX (released code)."""

    name: str = setting("mlvicx", "method")
    backbone: str = setting("resnet18", "resnet18 (timm's; the paper's) | vit (of the suite, sized by `model`)")
    expander: list[int] = setting([4096, 4096, 4096], "widths of both branches' expanders")
    channels: int = setting(512, "channels that all maps are projected to before they are summed")
    multi_level: float = setting(1.0, "lambda, weight of the multi-level branch (as released; the paper's: not known)")
    frozen_projections: bool = setting(False, "do not train the maps' 1x1 projections, as the release does not")
    invariance: float = setting(25.0, "weight of the invariance term")
    variance: float = setting(25.0, "weight of the variance term")
    covariance: float = setting(1.0, "weight of the covariance term")

    def __post_init__(self) -> None:
        check_choice("method.backbone", self.backbone, BACKBONES)
        self.check_widths("expander")
        check_range("method.channels", self.channels, 1, 1e6)
        for term in ("multi_level", "invariance", "variance", "covariance"):
            check_range(f"method.{term}", getattr(self, term), 0, 1e6)


def expander(width: int, widths: list[int]) -> nn.Sequential:
    """A branch's head: batch norm and ReLU after all layers but the last, batch norm after the last."""
    return nn.Sequential(*mlp(width, widths), BatchNorm(widths[-1]))


@METHODS.register(
    "mlvicx",
    config=MLVICXConfig,
    source="arXiv 2403.11504",
    overrides={"pairing": "same_view_augmented"},
)
class MLVICX(JointEmbedding):
    """VICReg of the global feature and of the feature maps of all stages, with attention between the stages."""

    config: MLVICXConfig
    encoder: ContextResNet | ContextViT

    def __init__(self, config: MLVICXConfig, context: MethodContext) -> None:
        Method.__init__(self, config, context)
        if config.backbone == "vit":
            self.encoder = ContextViT(context.model, context.size, context.attention)
        else:
            self.encoder = ContextResNet(context.size)
        self.levels = MultiLevel(self.encoder.channels, config.channels, config.frozen_projections)
        self.expander = expander(self.encoder.width, list(config.expander))
        self.level_expander = expander(self.levels.features, list(config.expander))

    def features(self, encoder: str, batch: ViewBatch) -> Tensor:
        """[N, D + 16 * channels]: the global feature, then the vector of all levels, of every image."""
        feature, maps = self.encoder.levels(normalise(batch.images), batch.view)
        return torch.cat([feature, self.levels(maps)], dim=1)

    def representation(self, features: Tensor) -> Tensor:
        """The global feature [N, D], which is what is evaluated."""
        return features[:, : self.encoder.width]

    def embed(self, features: Tensor, batch: ViewBatch, step: int) -> tuple[Tensor, ...]:
        """Embeddings [pairs of all ranks, d] of both sides: two of the global branch, two of the multi-level one."""
        whole, levels = features.tensor_split([self.encoder.width], dim=1)
        return (
            *self.whole_sides(self.expander, whole, batch),
            *self.whole_sides(self.level_expander, levels, batch),
        )

    def compare(self, embeddings: tuple[Tensor, ...], batch: ViewBatch, step: int) -> dict[str, Tensor]:
        """Losses "loss" = "global" + lambda * "multi_level", over the pairs of all ranks."""
        weights = self.config.invariance, self.config.variance, self.config.covariance
        whole, levels = (vicreg_total(vicreg_terms(*side), *weights) for side in (embeddings[:2], embeddings[2:]))
        return {"loss": whole + self.config.multi_level * levels, "global": whole, "multi_level": levels}

    def forward_flops(self) -> dict[str, float]:
        """Floating-point operations of one image's forward pass, by part; the convolutions are counted by torch."""
        encoder = copy.deepcopy(self.encoder).to("meta").eval()
        levels = copy.deepcopy(self.levels).to("meta")
        size = self.context.size
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            images = torch.empty(1, 1, size, size, device="meta")
            _, maps = encoder.levels(images, torch.zeros(1, dtype=torch.int64, device="meta"))
            before = counter.get_total_flops()
            levels(maps)
            after = counter.get_total_flops()
        heads = sum(layers_flops(w, list(self.config.expander)) for w in (self.encoder.width, self.levels.features))
        return {"encoder": float(before), "head": after - before + heads}
