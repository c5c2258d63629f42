"""Fine-tuning one classifier: an encoder that trains on under a fresh head, stopped by its score on validate."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from core.config import AugmentConfig
from core.data.augment import augment
from core.data.loader import Loader
from core.errors import NonFiniteLossError
from core.evaluation.layer_decay import layer_groups
from core.methods.base import ViewBatch
from core.methods.supervised import label_head, label_loss, study_means
from core.models.vit import normalise
from core.schedules import learning_rate
from core.trainer import step_generator

# Beside the trainer's streams, so that fine-tuning does not see the augmentations of pre-training again.
AUGMENT_STREAM, HEAD_STREAM = 2, 3


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. peak_lr: the head's; epochs: at most; patience: epochs without a better score, 0 = all."""

    epochs: int
    patience: int
    peak_lr: float
    warmup_epochs: float
    layer_decay: float
    weight_decay: float


@dataclass(frozen=True)
class Epoch:
    """One epoch: mean training loss, and the score on validate after it."""

    loss: float
    score: float


@dataclass(frozen=True)
class Tuned:
    """What was done: every epoch, which of them was the best (from 0), images that passed forward and backward."""

    epochs: list[Epoch]
    best: int
    images: int


class Classifier(nn.Module):
    """An encoder that trains on, and a linear head over its features; a study's logits are the mean over its images.

    What it asks of an encoder: `trainable_copy`, `features` (with gradients), `layer_of`, `flops`; see ViewEncoder.
    """

    def __init__(self, encoder: Any, labels: int, pool: str, seed: int) -> None:
        super().__init__()
        self.encoder, self.pool = encoder.trainable_copy(), pool
        self.head = label_head(encoder.width, labels, step_generator(torch.device("cpu"), seed, 0, HEAD_STREAM))

    def forward(self, batch: ViewBatch) -> Tensor:
        """Study logits [B, L] float32 of a batch of images in [0, 1]."""
        return self._logits(batch.images, batch.view, batch.study, len(batch.labels))

    @torch.no_grad()
    def predict(self, images: Tensor, view: Tensor, study: Tensor, studies: int) -> Tensor:
        """Logits [studies, L] of uint8 images [N, 1, H, W]."""
        return self._logits(images, view, study, studies)

    def _logits(self, images: Tensor, view: Tensor, study: Tensor, studies: int) -> Tensor:
        features = self.encoder.features(normalise(images), view, self.pool)
        return study_means(self.head(features), study, studies)

    def flops(self) -> float:
        """Floating-point operations of one image's forward pass."""
        encoder: float = self.encoder.flops(self.encoder.tokens)
        return encoder + 2.0 * self.head.in_features * self.head.out_features


class Tuning:
    """A classifier in training on one device. policy: of labels; bf16: autocast of the forward pass."""

    def __init__(
        self,
        model: Classifier,
        loader: Loader,
        schedule: Schedule,
        policy: str,
        augmentation: AugmentConfig,
        bf16: bool,
    ) -> None:
        self.model, self.loader, self.schedule = model, loader, schedule
        self.policy, self.augmentation, self.bf16 = policy, augmentation, bf16
        self.device = next(model.parameters()).device
        groups = layer_groups(model, model.encoder, schedule.layer_decay, schedule.weight_decay)
        self.optimiser = torch.optim.AdamW(groups, lr=schedule.peak_lr, fused=True)
        self.images = 0

    def step(self, batch: ViewBatch, step: int) -> Tensor:
        """One optimiser step; returns the detached loss."""
        per_epoch, schedule = self.loader.steps_per_epoch, self.schedule
        total, warmup = per_epoch * schedule.epochs, per_epoch * schedule.warmup_epochs
        rate = learning_rate(schedule.peak_lr, step, warmup, total, 0.0)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["lr_scale"]
        generator = step_generator(self.device, self.loader.seed, step, AUGMENT_STREAM)
        views = augment(batch.to(self.device), self.augmentation, generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            loss = label_loss(self.model(views), views, self.policy)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.images += len(batch.images)
        return loss.detach()

    def epoch(self, number: int) -> float:
        """Train one epoch; returns its mean loss. Raises NonFiniteLossError when that is not finite."""
        per_epoch = self.loader.steps_per_epoch
        first = number * per_epoch
        self.model.train()
        losses = [self.step(b, s) for s, b in enumerate(self.loader.batches(first, first + per_epoch), first)]
        loss = float(torch.stack(losses).mean())
        if not math.isfinite(loss):
            raise NonFiniteLossError(
                f"the loss of fine-tuning is not finite in epoch {number}", "try a lower evaluation.finetune.base_lr"
            )
        return loss

    def run(self, score: Callable[[Classifier], float]) -> Tuned:
        """Train until the score has not risen for `patience` epochs; the model then has the best epoch's weights.

        score: of the model on validate, asked after every epoch; the first of equal ones is kept.
        """
        epochs: list[Epoch] = []
        best, kept = 0, copy.deepcopy(self.model.state_dict())
        for number in range(self.schedule.epochs):
            loss = self.epoch(number)
            epochs.append(Epoch(loss, score(self.model.eval())))
            # An undefined score never stops it: the last epoch is then the best that is known.
            if not epochs[number].score <= epochs[best].score or number == 0:
                best, kept = number, copy.deepcopy(self.model.state_dict())
            elif self.schedule.patience and number - best >= self.schedule.patience:
                break
        self.model.load_state_dict(kept)
        return Tuned(epochs, best, self.images)
