"""Reconstruction of hidden patches (He et al. 2021, section 3; arXiv 2507.02987)."""

from __future__ import annotations

from torch import Tensor

from core import distributed
from core.methods.base import ViewBatch


def normalise_patches(patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Per-patch normalised target of [..., p]: (x - mean) / sqrt(var + 1e-6), with that mean and that root."""
    mean = patches.mean(dim=-1, keepdim=True)
    root = (patches.var(dim=-1, keepdim=True) + 1e-6).sqrt()
    return (patches - mean) / root, mean, root


def reconstruction(predicted: Tensor, target: Tensor, batch: ViewBatch) -> Tensor:
    """Mean over present images (of all ranks) of the mean over hidden pixels of (x_hat - x)^2.

    predicted, target: [N, T - K, p].
    """
    per_image = (predicted.float() - target.float()).square().mean(dim=(1, 2))
    return per_image.sum() / max(1, sum(batch.images_per_rank)) * distributed.world_size()
