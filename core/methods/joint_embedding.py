"""What methods that compare the embeddings of two images share: features, sides of pairs, signs of collapse.

Which two images meet is the pairing's business: same_view_augmented makes any of these methods unstructured (two
augmentations of one film), same_study structured (two views of one study). Nothing is masked: all tokens are encoded.
An image without a partner adds nothing to a mean over pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from core import distributed
from core.config import MethodConfig, TrialConfig
from core.errors import require
from core.losses.pairwise import at_least_float32
from core.losses.spread import spread
from core.methods.base import Method, MethodContext, ViewBatch
from core.models.vit import ViewEncoder, normalise


@dataclass
class JointEmbeddingConfig(MethodConfig):
    """What joint-embedding methods ask of the rest of the trial."""

    def check_trial(self, trial: TrialConfig) -> None:
        """These methods compare two images, so the pairing must form pairs, and they need more than one study."""
        require(
            trial.pairing.name != "none",
            f"method={self.name} needs pairs and pairing=none forms none",
            "use pairing=same_view_augmented (unstructured) or pairing=same_study (structured)",
        )
        train = trial.train
        require(
            train.batch_size >= 2,
            f"method={self.name} needs batch statistics or negatives and train.batch_size=1",
            "use a batch of at least 2 studies",
        )
        require(
            train.batch_size // train.micro_batches >= 2,
            f"method={self.name} needs batch statistics or negatives and train.micro_batches={train.micro_batches} "
            f"leaves one study of train.batch_size={train.batch_size} in each part",
            "use fewer parts",
        )

    def check_widths(self, field: str) -> None:
        """Raise ConfigError unless the field is a list of at least one width."""
        widths = getattr(self, field)
        require(
            len(widths) > 0 and all(width > 0 for width in widths),
            f"method.{field}={widths} is no list of widths",
            "give at least one width > 0",
        )


class JointEmbedding(Method):
    """Base: every image is encoded once, heads make embeddings of the CLS tokens, and embeddings are compared.

    A subclass defines `embed` and `compare`. The trained encoder is kept under the name `online`.
    """

    online = "encoder"

    def __init__(self, config: MethodConfig, context: MethodContext) -> None:
        super().__init__(config, context)
        self.add_module(self.online, ViewEncoder(context.model, context.size, context.attention))

    def features(self, encoder: str, batch: ViewBatch) -> Tensor:
        """CLS tokens [N, D] of all images by the encoder of that name."""
        tokens: Tensor = self.get_submodule(encoder)(normalise(batch.images), batch.view)
        return tokens[:, 0]

    def representation(self, features: Tensor) -> Tensor:
        """The part of `features` that is evaluated, and watched for collapse: all of it, unless a method says less."""
        return features

    def embed(self, features: Tensor, batch: ViewBatch, step: int) -> tuple[Tensor, ...]:
        """What is compared, from the online features [N, D]; the first is watched for collapse."""
        raise NotImplementedError

    def whole_sides(self, head: nn.Module, features: Tensor, batch: ViewBatch) -> tuple[Tensor, ...]:
        """Embeddings [pairs of all ranks, d] of both sides of the pairs; each side has its batch norm statistics."""
        sides = (at_least_float32(head(features[side])) for side in batch.pairs.unbind(1))
        return tuple(distributed.gather_rows(side, batch.pairs_per_rank) for side in sides)

    def compare(self, embeddings: tuple[Tensor, ...], batch: ViewBatch, step: int) -> dict[str, Tensor]:
        """Named losses of what `embed` gave, in at least float32 and without autocast."""
        raise NotImplementedError

    def forward(self, batch: ViewBatch, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of `compare`, and the spread of features and embeddings; 0 for a batch with fewer than two pairs."""
        features = self.features(self.online, batch)
        seen = spread(self.representation(features), "embedding")
        if sum(batch.pairs_per_rank) < 2:
            return {"loss": self.nothing(), **seen}
        embeddings = tuple(at_least_float32(e) for e in self.embed(features, batch, step))
        with torch.autocast(features.device.type, enabled=False):
            losses = self.compare(embeddings, batch, step)
        return {**losses, **seen, **spread(embeddings[0], "projection")}

    def nothing(self) -> Tensor:
        """A loss of 0 in which every trained parameter takes part: DDP waits for all of them."""
        return 0 * torch.stack([p.sum() for p in self.parameters() if p.requires_grad]).sum()

    def head_flops(self) -> float:
        """Floating-point operations of the heads on one image."""
        raise NotImplementedError

    def forward_flops(self) -> dict[str, float]:
        """Floating-point operations of one image's forward pass, by part."""
        encoder: Any = self.get_submodule(self.online)
        return {"encoder": encoder.flops(encoder.tokens), "head": self.head_flops()}
