"""Segmentation decoders on frozen patch tokens: a linear one, a small convolutional one, and their training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Truth = Callable[[Tensor], tuple[Tensor, Tensor]]


class Decoder(nn.Module):
    """Token maps [N, D, h, w], standardised by `mean` and `scale` [D], to logits [N, L, size, size]."""

    mean: Tensor
    scale: Tensor

    def __init__(self, layers: nn.Module, mean: Tensor, scale: Tensor, size: int) -> None:
        super().__init__()
        self.layers, self.size = layers, size
        self.register_buffer("mean", mean[:, None, None])
        self.register_buffer("scale", scale[:, None, None])

    def forward(self, maps: Tensor) -> Tensor:
        """Logits of every pixel."""
        logits = self.layers((maps - self.mean) / self.scale)
        return functional.interpolate(logits, size=(self.size, self.size), mode="bilinear", align_corners=False)


def linear_layers(width: int, labels: int) -> nn.Module:
    """One linear map of each token, as in the linear segmentation of Oquab et al. 2023 (DINOv2), section 7.4."""
    return nn.Conv2d(width, labels, 1)


def conv_layers(width: int, labels: int) -> nn.Module:
    """Two 3 x 3 convolutions with a doubling of the grid between them, then a linear map."""
    hidden = min(64, width)
    return nn.Sequential(
        nn.Conv2d(width, hidden, 3, padding=1),
        nn.GELU(),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        nn.Conv2d(hidden, hidden, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(hidden, labels, 1),
    )


LAYERS: Mapping[str, Callable[[int, int], nn.Module]] = {"linear": linear_layers, "conv": conv_layers}


@dataclass(frozen=True)
class Schedule:
    """How a decoder is trained: AdamW at a learning rate that falls to 0 along a cosine."""

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    seed: int


def segmentation_loss(logits: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy of pixels plus 1 - soft Dice over the batch, mean over labels (Isensee et al. 2021, methods).

    logits: [N, L, H, W]. truth: the same shape, 0 or 1. known: [N, L] 0 or 1, whether an image's mask is known.
    """
    used = known[:, :, None, None]
    pixels = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((2, 3))
    entropy = (pixels * known).sum() / known.sum().clamp(min=1)
    chance = torch.sigmoid(logits) * used
    both, either = (chance * truth).sum((0, 2, 3)), (chance + truth * used).sum((0, 2, 3))
    return entropy + (1 - (2 * both + 1) / (either + 1)).mean()


def train_decoder(kind: str, maps: Tensor, labels: int, size: int, truth: Truth, schedule: Schedule) -> Decoder:
    """A trained decoder of `LAYERS[kind]`.

    maps: [N, D, h, w] of the training images. truth: image rows [n] -> (masks [n, labels, size, size], known
    [n, labels]), float32. The same inputs give the same decoder.
    """
    decoder = _fresh(kind, maps, labels, size, schedule.seed)
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=schedule.lr, weight_decay=schedule.weight_decay)
    batches = -(-len(maps) // schedule.batch_size)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, schedule.epochs * batches)
    order = torch.Generator().manual_seed(schedule.seed)
    for _ in range(schedule.epochs):
        for rows in torch.randperm(len(maps), generator=order).split(schedule.batch_size):
            masks, known = truth(rows)
            loss = segmentation_loss(decoder(maps[rows.to(maps.device)]), masks.to(maps), known.to(maps))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            falling.step()
    return decoder.eval()


def _fresh(kind: str, maps: Tensor, labels: int, size: int, seed: int) -> Decoder:
    mean, deviation = maps.mean((0, 2, 3)), maps.std((0, 2, 3), correction=0)
    scale = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = LAYERS[kind](maps.shape[1], labels)
    decoder: Any = Decoder(layers, mean, scale, size).to(maps.device)
    return decoder  # type: ignore[no-any-return]
