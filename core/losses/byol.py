"""BYOL's loss (Grill et al. 2020, equation 2)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from core.losses.pairwise import mean_over_pairs


def regression(prediction: Tensor, target: Tensor, counts: tuple[int, ...]) -> Tensor:
    """Mean over all ranks' pairs of ||q - z||^2 of unit vectors = 2 - 2 cos(q, z); no gradient reaches the target.

    prediction, target: [P, d], unnormalised. counts: pairs of every rank.
    """
    difference = functional.normalize(prediction, dim=1) - functional.normalize(target.detach(), dim=1)
    return mean_over_pairs(difference.square().sum(1), counts)
