"""Random augmentation of a batch on its device: random resized crop, flip, brightness and contrast.

As in the code of arXiv 2507.02987, independent per image. Everything is drawn for the global grid of view
slots and picked by slot, so the same study is augmented alike whatever the number of processes.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from core.config import AugmentConfig
from core.methods.base import ViewBatch


def crop_grid(draws: Tensor, scale: tuple[float, float], flip: float) -> Tensor:
    """Affine maps [N, 2, 3] of square crops (aspect 1:1) with an area share in `scale`; draws [N, 4] in [0, 1)."""
    side = (scale[0] + draws[:, 0] * (scale[1] - scale[0])).sqrt()
    offset_x = (2 * draws[:, 1] - 1) * (1 - side)
    offset_y = (2 * draws[:, 2] - 1) * (1 - side)
    mirrored = torch.where(draws[:, 3] < flip, -side, side)
    zero = torch.zeros_like(side)
    return torch.stack([torch.stack([mirrored, zero, offset_x], 1), torch.stack([zero, side, offset_y], 1)], 1)


def jitter(images: Tensor, draws: Tensor, strength: float, probability: float) -> Tensor:
    """Brightness and contrast of [N, 1, H, W] in [0, 1], each changed by a factor in 1 +- strength."""
    applied = (draws[:, 0] < probability).float()
    factors = 1 + (2 * draws[:, 1:3] - 1) * strength * applied[:, None]
    bright = images * factors[:, 0].view(-1, 1, 1, 1)
    mean = bright.mean(dim=(1, 2, 3), keepdim=True)
    return ((bright - mean) * factors[:, 1].view(-1, 1, 1, 1) + mean).clamp(0, 1)


def augment(batch: ViewBatch, config: AugmentConfig, generator: torch.Generator) -> ViewBatch:
    """The batch with uint8 images turned into augmented float32 images in [0, 1]."""
    draws = torch.rand(batch.slots, 7, device=batch.images.device, generator=generator)[batch.slot]
    images = batch.images.float() / 255
    theta = crop_grid(draws[:, :4], (config.crop_scale[0], config.crop_scale[1]), config.flip)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    images = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return replace(batch, images=jitter(images, draws[:, 4:], config.jitter, config.jitter_probability))
