"""VICReg (Bardes, Ponce, LeCun 2021): variance, invariance, covariance of two branches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from core.losses.pairwise import at_least_float32


def off_diagonal_square(matrix: Tensor) -> Tensor:
    """Sum of the squares of a square matrix's entries off its diagonal."""
    return matrix.square().sum() - matrix.diagonal().square().sum()


def variance_term(x: Tensor) -> Tensor:
    """mean_j relu(1 - sqrt(var(x_j) + 1e-4)) of [n, d]; var with 1 / (n - 1)."""
    return functional.relu(1 - torch.sqrt(x.var(dim=0) + 1e-4)).mean()


def covariance_term(x: Tensor) -> Tensor:
    """sum_{i != j} cov(x)_ij^2 / d of [n, d]; cov with 1 / (n - 1)."""
    centred = x - x.mean(dim=0)
    return off_diagonal_square(centred.T @ centred / (len(x) - 1)) / x.shape[1]


def vicreg_terms(x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The three terms of two branches [n, d], n >= 2, over the whole (gathered) batch.

    Each branch's variance is halved, as in the released code; covariance is summed over branches.
    """
    x, y = at_least_float32(x), at_least_float32(y)
    return {
        "invariance": functional.mse_loss(x, y),
        "variance": (variance_term(x) + variance_term(y)) / 2,
        "covariance": covariance_term(x) + covariance_term(y),
    }


def vicreg_total(
    terms: dict[str, Tensor], invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> Tensor:
    """Weighted sum of the terms; the defaults are the paper's."""
    return invariance * terms["invariance"] + variance * terms["variance"] + covariance * terms["covariance"]
