"""Methods with a momentum encoder: a target that follows the trained network by a moving average."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.config import setting
from core.errors import check_range
from core.methods.base import MethodContext, ViewBatch
from core.methods.joint_embedding import JointEmbedding, JointEmbeddingConfig
from core.models.momentum import check_whole, follow, twin
from core.schedules import scheduled

# A target is encoded forward only; telemetry counts forward and backward as three forwards.
FORWARD_ONLY = 1 / 3


@dataclass
class MomentumConfig(JointEmbeddingConfig):
    """What methods with a momentum encoder share."""

    momentum: float = setting(0.996, "of the momentum encoder at the start; rises to 1 along half a cosine")

    def __post_init__(self) -> None:
        check_range("method.momentum", self.momentum, 0, 1)


class MomentumMethod(JointEmbedding):
    """Base of methods with a target: an encoder and a projector that follow the online ones by a moving average.

    The update that belongs after step t is made when step t + 1 begins, before the target is used. Nothing sees the
    difference, and so the target is a function of the steps done: it resumes from the state dict alone, is the same on
    every rank, and no engine need know of it. The update after the very last step, of weight 1 - 1 = 0, is left out.
    """

    config: MomentumConfig
    target = "target_encoder"

    def __init__(self, config: MomentumConfig, context: MethodContext, projector: nn.Module) -> None:
        super().__init__(config, context)
        self.projector = projector
        self.add_module(self.target, twin(self.get_submodule(self.online)))
        self.target_projector = twin(projector)
        self._followed = -1

    def momentum(self, step: int) -> float:
        """Momentum of the update that is made when `step` begins: that which belongs after the step before."""
        total, per_epoch = self.context.total_steps, self.context.steps_per_epoch
        return scheduled("cosine", self.config.momentum, 1.0, step - 1, 0, total, per_epoch, 0.0)

    def forward(self, batch: ViewBatch, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Move the target, then as every joint-embedding method."""
        self.follow(step)
        return super().forward(batch, step, generator)

    def follow(self, step: int) -> None:
        """Move the target towards the online network, once a step even where a batch comes in parts."""
        if step == self._followed:
            return
        twins = [
            (self.get_submodule(self.target), self.get_submodule(self.online)),
            (self.target_projector, self.projector),
        ]
        for target, online in twins:
            if self._followed < 0:
                check_whole(target)
            follow(target, online, self.momentum(step))
        self._followed = step

    @torch.no_grad()
    def target_features(self, batch: ViewBatch) -> Tensor:
        """CLS tokens [N, D] of all images by the target encoder; no gradient."""
        return self.features(self.target, batch)

    def forward_flops(self) -> dict[str, float]:
        """Floating-point operations of one image's forward pass, by part; see FORWARD_ONLY for the target's."""
        parts = super().forward_flops()
        return {**parts, "target": sum(parts.values()) * FORWARD_ONLY}


class PredictorMethod(MomentumMethod):
    """Base of methods that predict the target's projection of the other image (BYOL, MoCo v3)."""

    def __init__(self, config: MomentumConfig, context: MethodContext, projector: nn.Module, predictor: nn.Module):
        super().__init__(config, context, projector)
        self.predictor = predictor

    def embed(self, features: Tensor, batch: ViewBatch, step: int) -> tuple[Tensor, ...]:
        """Predictions and targets [P, d] of both sides of the pairs; each side has its batch norm statistics."""
        sides = batch.pairs.unbind(1)
        predictions = [self.predictor(self.projector(features[side])) for side in sides]
        with torch.no_grad():
            followed = self.target_features(batch)
            targets = [self.target_projector(followed[side]) for side in sides]
        return (*predictions, *targets)
