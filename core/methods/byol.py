"""BYOL (Grill et al. 2020) between the two images that the pairing puts together.

The paper trains a ResNet-50 with LARS for 1,000 epochs; for the vision transformer AdamW is the default, as with
VICReg. Its colour distortion, blur and solarisation are not here: augmentation is the suite's.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from core.config import setting
from core.losses.byol import regression
from core.methods.base import METHODS, MethodContext, ViewBatch
from core.methods.momentum import MomentumConfig, PredictorMethod
from core.models.heads import layers_flops, mlp


@dataclass
class BYOLConfig(MomentumConfig):
    """Settings of BYOL (paper, section 3.3). The paper's momentum is 0.996, and 0.99 for its runs of 300 epochs."""

    name: str = setting("byol", "method")
    layers: list[int] = setting([4096, 256], "widths of the projector's and of the predictor's layers")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_widths("layers")


@METHODS.register(
    "byol",
    config=BYOLConfig,
    source="Grill et al. 2020, arXiv 2006.07733",
    overrides={"pairing": "same_view_augmented"},
)
class BYOL(PredictorMethod):
    """Bootstrap your own latent: predict a momentum network's projection of the other image."""

    config: BYOLConfig

    def __init__(self, config: BYOLConfig, context: MethodContext) -> None:
        layers = list(config.layers)
        super().__init__(config, context, mlp(context.model.width, layers), mlp(layers[-1], layers))

    def compare(self, embeddings: tuple[Tensor, ...], batch: ViewBatch, step: int) -> dict[str, Tensor]:
        """Loss "loss": the regression of each side on the other's target, summed (equation 2 and below)."""
        first, second, first_target, second_target = embeddings
        counts = batch.pairs_per_rank
        return {"loss": regression(first, second_target, counts) + regression(second, first_target, counts)}

    def head_flops(self) -> float:
        """Floating-point operations of projector and predictor on one image."""
        layers = list(self.config.layers)
        return layers_flops(self.context.model.width, [*layers, *layers])
