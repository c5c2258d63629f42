"""DINO (Caron et al. 2021) between the two images that the pairing puts together: two global crops.

Local crops are left out: the suite's augmentation makes one image of one size per slot, and its encoder has one grid of
positions. For runs without them the released code advises augment.crop_scale=[0.14,1]. Left out too are the weight
decay's rise from 0.04 to 0.4 and stochastic depth. As in the paper, the teacher is what is evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.config import setting
from core.data.store import StudyTable
from core.data.types import Bools
from core.errors import check_range, require
from core.losses.dino import distillation, moved_centre, teacher_distribution
from core.methods.base import METHODS, MethodContext, ViewBatch
from core.methods.momentum import MomentumConfig, MomentumMethod
from core.models.heads import PrototypeHead, layers_flops
from core.schedules import scheduled


@dataclass
class DINOConfig(MomentumConfig):
    """Settings of DINO (paper, section 3.2 and appendix C; released code)."""

    name: str = setting("dino", "method")
    prototypes: int = setting(65536, "K, outputs of the head; at most as many as there are training images")
    hidden: int = setting(2048, "width of the head's two hidden layers")
    bottleneck: int = setting(256, "width of the head's last layer before the prototypes")
    student_temperature: float = setting(0.1, "of the student's softmax")
    teacher_temperature: float = setting(0.07, "of the teacher's softmax after its warm-up (sharpening)")
    teacher_temperature_start: float = setting(0.04, "of the teacher's softmax in the first epoch")
    teacher_warmup_epochs: int = setting(30, "epochs of the teacher temperature's linear warm-up")
    centre_momentum: float = setting(0.9, "of the moving average that centres the teacher's outputs")
    frozen_epochs: int = setting(1, "epochs for which the prototypes stay as they are")
    fixed_gain: bool = setting(True, "prototypes of length 1 (released: true for ViT-B, false for ViT-S)")

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("prototypes", "hidden", "bottleneck"):
            check_range(f"method.{field}", getattr(self, field), 1, 1e7)
        for field in ("student_temperature", "teacher_temperature", "teacher_temperature_start"):
            check_range(f"method.{field}", getattr(self, field), 0, 1e3, open_low=True)
        for field in ("teacher_warmup_epochs", "frozen_epochs"):
            check_range(f"method.{field}", getattr(self, field), 0, 1e6)
        check_range("method.centre_momentum", self.centre_momentum, 0, 1)


@METHODS.register(
    "dino",
    config=DINOConfig,
    source="Caron et al. 2021, arXiv 2104.14294",
    overrides={"pairing": "same_view_augmented", "optim": "dino"},
)
class DINO(MomentumMethod):
    """Self-distillation without labels: match a momentum teacher's centred and sharpened distribution."""

    config: DINOConfig
    online, target = "student_encoder", "encoder"
    centre: Tensor

    def __init__(self, config: DINOConfig, context: MethodContext) -> None:
        head = PrototypeHead(
            context.model.width, config.hidden, config.bottleneck, config.prototypes, config.fixed_gain
        )
        super().__init__(config, context, head)
        self.register_buffer("centre", torch.zeros(config.prototypes))

    def train_studies(self, table: StudyTable, seed: int) -> Bools:
        """All studies. Raises ConfigError when there are more prototypes than images to spread over them."""
        require(
            self.config.prototypes <= table.n_images,
            f"method.prototypes={self.config.prototypes} are more than the {table.n_images} training images",
            f"set method.prototypes to {table.n_images} or fewer",
        )
        return super().train_studies(table, seed)

    def epoch(self, step: int) -> int:
        """Number of the epoch that a step lies in."""
        return step // self.context.steps_per_epoch

    def teacher_temperature(self, step: int) -> float:
        """Rises epoch by epoch in equal parts; in its last warm-up epoch it is at its end (released code)."""
        config = self.config
        shape = "linear" if config.teacher_warmup_epochs else "constant"
        start, end = config.teacher_temperature_start, config.teacher_temperature
        return scheduled(shape, start, end, self.epoch(step), 0, config.teacher_warmup_epochs, 1, 0.0)

    def embed(self, features: Tensor, batch: ViewBatch, step: int) -> tuple[Tensor, ...]:
        """Logits [2 P, K] of student and teacher: the first images of the pairs, then the second ones."""
        rows = batch.pairs.T.reshape(-1)
        frozen = self.epoch(step) < self.config.frozen_epochs
        with torch.no_grad():
            teacher = self.target_projector(self.target_features(batch)[rows])
        return self.projector(features[rows], frozen), teacher

    def compare(self, embeddings: tuple[Tensor, ...], batch: ViewBatch, step: int) -> dict[str, Tensor]:
        """Loss "loss": mean of the cross-entropies to the other image's teacher; the centre moves afterwards."""
        student, teacher = embeddings
        counts, config = batch.pairs_per_rank, self.config
        first, second = teacher_distribution(teacher, self.centre, self.teacher_temperature(step)).chunk(2)
        student_first, student_second = student.chunk(2)
        loss = distillation(student_second, first, counts, config.student_temperature)
        loss = loss + distillation(student_first, second, counts, config.student_temperature)
        self.centre.copy_(moved_centre(self.centre, teacher, 2 * sum(counts), config.centre_momentum))
        return {"loss": loss / 2}

    def head_flops(self) -> float:
        """Floating-point operations of the head on one image."""
        config = self.config
        return layers_flops(
            self.context.model.width, [config.hidden, config.hidden, config.bottleneck, config.prototypes]
        )
