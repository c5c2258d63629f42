"""Barlow Twins' loss (Zbontar et al. 2021, equations 1 and 2)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from core.losses.vicreg import off_diagonal_square


def standardised(x: Tensor) -> Tensor:
    """Columns of x [n, d] with mean 0 and variance 1 (over n; batch norm's epsilon of 1e-5, as released)."""
    return functional.batch_norm(x, None, None, training=True)


def cross_correlation(x: Tensor, y: Tensor) -> Tensor:
    """[d, d] correlation over the batch of each column of x [n, d] with each column of y [n, d]."""
    return standardised(x).T @ standardised(y) / len(x)


def barlow_twins_terms(x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The two terms of branches [n, d], n >= 2, over the whole (gathered) batch; the loss is their weighted sum.

    invariance: sum_i (1 - C_ii)^2. redundancy: sum_{i != j} C_ij^2.
    """
    correlation = cross_correlation(x, y)
    return {
        "invariance": (1 - correlation.diagonal()).square().sum(),
        "redundancy": off_diagonal_square(correlation),
    }
