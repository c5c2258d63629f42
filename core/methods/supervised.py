"""The supervised baseline: the same encoder from scratch or from init.path, binary cross-entropy over the labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from core import distributed
from core.config import MethodConfig, setting
from core.data.fractions import label_subset
from core.data.labels import LABEL_POLICIES, UNKNOWN
from core.data.store import StudyTable
from core.data.types import Bools
from core.errors import check_choice, check_range, require
from core.losses.spread import spread
from core.methods.base import METHODS, Method, MethodContext, ViewBatch
from core.models.vit import ViewEncoder, normalise


@dataclass
class SupervisedConfig(MethodConfig):
    """Settings of the supervised baseline."""

    name: str = setting("supervised", "method")
    label_fraction: float = setting(1.0, "share of the training patients whose labels are used, in (0, 1]")
    label_policy: str = setting("zeros", "uncertain and missing labels in training: zeros | ones | ignore")

    def __post_init__(self) -> None:
        check_range("method.label_fraction", self.label_fraction, 0, 1, open_low=True)
        check_choice("method.label_policy", self.label_policy, LABEL_POLICIES)


def policy_targets(labels: Tensor, policy: str) -> tuple[Tensor, Tensor]:
    """labels [B, L] of 1 / 0 / -1 / NaN / UNKNOWN -> (targets in {0, 1}, used bool) under a label policy."""
    uncertain, missing = LABEL_POLICIES[policy]
    known = torch.where(labels == -1, uncertain, torch.where(labels.isnan(), missing, labels))
    used = ~known.isnan() & (labels != UNKNOWN)
    return torch.where(used, known, 0.0), used


def label_head(width: int, labels: int, generator: torch.Generator | None = None) -> nn.Linear:
    """A fresh linear head from features [N, width] to logits [N, labels], nearly 0 at first."""
    head = nn.Linear(width, labels)
    nn.init.zeros_(head.bias)
    nn.init.normal_(head.weight, std=0.01, generator=generator)
    return head


def study_means(logits: Tensor, study: Tensor, studies: int) -> Tensor:
    """Logits [N, L] of the images of `studies` studies -> [studies, L] float32, the mean over a study's images."""
    logits = logits.float()
    total = logits.new_zeros(studies, logits.shape[1]).index_add(0, study, logits)
    count = logits.new_zeros(studies).index_add(0, study, torch.ones_like(logits[:, 0]))
    return total / count.clamp(min=1)[:, None]


def label_loss(logits: Tensor, batch: ViewBatch, policy: str) -> Tensor:
    """Mean binary cross-entropy of study logits [B, L] over the labels of all ranks that may be used."""
    target, used = policy_targets(batch.labels, policy)
    used = used & batch.labelled[:, None]
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    count = distributed.sum_over_ranks(used.float().sum()).clamp(min=1)
    return (entropy * used).sum() / count * distributed.world_size()


@METHODS.register("supervised", config=SupervisedConfig, overrides={"pairing": "none", "optim": "supervised"})
class Supervised(Method):
    """Supervised, from scratch or from init.path: mean of the logits over a study's views, BCE over its labels."""

    config: SupervisedConfig

    def __init__(self, config: SupervisedConfig, context: MethodContext) -> None:
        super().__init__(config, context)
        require(
            len(context.labels) > 0,
            f"method={config.name} learns labels, and the data set has none",
            "give the data set label columns, or use a self-supervised method",
        )
        self.encoder = ViewEncoder(context.model, context.size, context.attention)
        self.head = label_head(context.model.width, len(context.labels))

    def train_studies(self, table: StudyTable, seed: int) -> Bools:
        """The studies whose labels may be used: a label fraction by patient, its draw numbered by the seed."""
        return label_subset(table, self.config.label_fraction, seed)

    def study_logits(self, images: Tensor, view: Tensor, study: Tensor, studies: int) -> Tensor:
        """Normalised images [N, 1, H, W] of `studies` studies -> [studies, L], mean over existing views."""
        return self.feature_logits(self.encoder(images, view)[:, 0], study, studies)

    def feature_logits(self, features: Tensor, study: Tensor, studies: int) -> Tensor:
        """CLS tokens [N, D] of `studies` studies -> [studies, L], mean over existing views."""
        return study_means(self.head(features), study, studies)

    @torch.no_grad()
    def predict(self, images: Tensor, view: Tensor, study: Tensor, studies: int) -> Tensor:
        """Logits [studies, L] of uint8 images [N, 1, H, W]."""
        return self.study_logits(normalise(images), view, study, studies)

    def forward(self, batch: ViewBatch, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss "loss": mean binary cross-entropy over the used labels of all ranks; the spread of CLS tokens."""
        features = self.encoder(normalise(batch.images), batch.view)[:, 0]
        logits = self.feature_logits(features, batch.study, len(batch.labels))
        loss = label_loss(logits, batch, self.config.label_policy)
        return {"loss": loss, **spread(features, "embedding")}

    def forward_flops(self) -> dict[str, float]:
        """Floating-point operations of one image's forward pass, by part."""
        return {
            "encoder": self.encoder.flops(self.encoder.tokens),
            "head": 2.0 * self.encoder.width * len(self.context.labels),
        }
