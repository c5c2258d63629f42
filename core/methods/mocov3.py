"""MoCo v3 (Chen, Xie, He 2021) between the two images that the pairing puts together.

The recipe for vision transformers (section 4.1 and the released configuration). Fixed sine-cosine positions, as in the
release, are model.positions=sincos. Its colour distortion, blur and solarisation are not here.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from core.config import setting
from core.errors import check_range
from core.losses.moco import momentum_contrast
from core.methods.base import METHODS, MethodContext, ViewBatch
from core.methods.momentum import MomentumConfig, PredictorMethod
from core.models.heads import BatchNorm, layers_flops, mlp


@dataclass
class MoCoV3Config(MomentumConfig):
    """Settings of MoCo v3 (paper, sections 3 and 4; released configuration for ViT)."""

    name: str = setting("mocov3", "method")
    momentum: float = setting(0.99, "of the momentum encoder at the start; rises to 1 along half a cosine")
    projector: list[int] = setting([4096, 4096, 256], "widths of the projector's layers")
    predictor: list[int] = setting([4096, 256], "widths of the predictor's layers")
    temperature: float = setting(0.2, "of InfoNCE")
    freeze_patches: bool = setting(True, "keep the patch projection as drawn at random (section 4.2)")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_widths("projector")
        self.check_widths("predictor")
        check_range("method.temperature", self.temperature, 0, 1e3, open_low=True)


def normalised_mlp(width: int, widths: list[int]) -> nn.Sequential:
    """`mlp` with a batch norm without scale and shift at its end (released code)."""
    return nn.Sequential(*mlp(width, widths), BatchNorm(widths[-1], affine=False))


@METHODS.register(
    "mocov3",
    config=MoCoV3Config,
    source="Chen, Xie, He 2021, arXiv 2104.02057",
    overrides={"pairing": "same_view_augmented", "optim": "mocov3"},
)
class MoCoV3(PredictorMethod):
    """Momentum contrast: InfoNCE of predictions against a momentum network's projections."""

    config: MoCoV3Config

    def __init__(self, config: MoCoV3Config, context: MethodContext) -> None:
        projector = normalised_mlp(context.model.width, list(config.projector))
        predictor = normalised_mlp(config.projector[-1], list(config.predictor))
        super().__init__(config, context, projector, predictor)
        if config.freeze_patches:
            self.encoder.patch_embed.requires_grad_(False)

    def momentum(self, step: int) -> float:
        """As released: the step's own momentum, since its update comes before the keys and not after the step."""
        return super().momentum(step + 1)

    def compare(self, embeddings: tuple[Tensor, ...], batch: ViewBatch, step: int) -> dict[str, Tensor]:
        """Loss "loss": InfoNCE of each side's queries among the other side's keys, summed (algorithm 1)."""
        first, second, first_key, second_key = embeddings
        study, counts, temperature = batch.study[batch.pairs[:, 0]], batch.pairs_per_rank, self.config.temperature
        return {
            "loss": momentum_contrast(first, second_key, study, counts, temperature)
            + momentum_contrast(second, first_key, study, counts, temperature)
        }

    def head_flops(self) -> float:
        """Floating-point operations of projector and predictor on one image."""
        return layers_flops(self.context.model.width, [*self.config.projector, *self.config.predictor])
