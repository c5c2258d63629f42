"""How far a batch's embeddings are from collapse. Not minimised: logged with every method's losses."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

# Rows that are looked at: enough for a rank of 127, and a Gram matrix that costs nothing beside a step.
SAMPLE = 128


def spread(rows: Tensor, name: str) -> dict[str, Tensor]:
    """`name`_std and `name`_rank of the first 128 rows of [n, d], brought to length 1; NaN for fewer than two rows.

    std: mean over dimensions of the standard deviation, times sqrt(d): 0 = all in one point, about 1 = spread over
    the sphere (Chen & He 2021, section 4.1; the factor makes widths comparable, as in evaluation=rank).
    rank: how many directions carry the variance, (sum l)^2 / sum l^2 over the eigenvalues l of the covariance (the
    participation ratio, the effective rank of Renyi order 2): from 1 to min(n - 1, d), and 0 in one point. The
    entropy's effective rank would need the eigenvalues, for which a GPU makes the host wait.
    """
    if len(rows) < 2:
        undefined = torch.full((), math.nan, device=rows.device)
        return {f"{name}_std": undefined, f"{name}_rank": undefined}
    with torch.no_grad(), torch.autocast(rows.device.type, enabled=False):
        unit = functional.normalize(rows[:SAMPLE].float(), dim=1)
        centred = unit - unit.mean(dim=0)
        variance = centred.square().mean(dim=0)
        squares = (centred @ centred.T / len(unit)).square().sum()
        return {
            f"{name}_std": variance.sqrt().mean() * math.sqrt(rows.shape[1]),
            # 1e-12: a total variance below 1e-6 is rounding, not a direction.
            f"{name}_rank": variance.sum().square() / (squares + 1e-12),
        }
