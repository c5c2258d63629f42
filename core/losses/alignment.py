"""The alignment term of MVMAE (arXiv 2507.02987): distances between pooled vectors of two present views.

All take u [N, D] (one vector per image, unnormalised) and the batch that says which images are positive
pairs, and return a mean over the valid pairs of all ranks. A pair that does not exist adds nothing; without
any pair the term is 0. Scaled so that DDP's average of gradients is the gradient on the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from core import distributed
from core.losses.pairwise import at_least_float32, contrast, mean_over_pairs, study_numbers
from core.losses.vicreg import vicreg_terms, vicreg_total
from core.methods.base import ViewBatch

DISTANCES = ("mse", "cosine", "infonce", "mix", "vicreg")
REDUCTIONS = ("sum", "mean")


def _unit(u: Tensor) -> Tensor:
    return functional.normalize(at_least_float32(u), dim=1)


def mse(u: Tensor, batch: ViewBatch, reduction: str) -> Tensor:
    """||u_i - u_j||^2 of unit vectors = 2 - 2 cos; `reduction` "mean" divides by D, as the authors' code does."""
    unit = _unit(u)
    square = (unit[batch.pairs[:, 0]] - unit[batch.pairs[:, 1]]).square()
    return mean_over_pairs(square.sum(1) if reduction == "sum" else square.mean(1), batch.pairs_per_rank)


def cosine(u: Tensor, batch: ViewBatch) -> Tensor:
    """- cos(u_i, u_j)."""
    unit = _unit(u)
    return mean_over_pairs(-(unit[batch.pairs[:, 0]] * unit[batch.pairs[:, 1]]).sum(1), batch.pairs_per_rank)


def infonce(u: Tensor, batch: ViewBatch, temperature: float) -> Tensor:
    """Symmetric cross-entropy; the negatives are other studies' present views, over all ranks.

    Rows without a partner are no anchors (but serve others as negatives).
    """
    unit, counts = _unit(u), batch.images_per_rank
    everyone, study = distributed.gather_rows(unit, counts), study_numbers(batch.study, counts)
    offset = sum(counts[: distributed.rank()])
    anchor, positive = torch.cat([batch.pairs, batch.pairs.flip(1)]).unbind(1)
    per_anchor = contrast(unit[anchor], everyone, study[anchor + offset], study, positive + offset, temperature)
    return mean_over_pairs(per_anchor, batch.pairs_per_rank) / 2


def vicreg(u: Tensor, batch: ViewBatch) -> Tensor:
    """VICReg of the pooled vectors with the two views as branches; unnormalised, as its variance term needs."""
    if sum(batch.pairs_per_rank) < 2:
        return u.sum() * 0
    x = distributed.gather_rows(at_least_float32(u[batch.pairs[:, 0]]), batch.pairs_per_rank)
    y = distributed.gather_rows(at_least_float32(u[batch.pairs[:, 1]]), batch.pairs_per_rank)
    return vicreg_total(vicreg_terms(x, y))


def alignment(distance: str, u: Tensor, batch: ViewBatch, reduction: str, temperature: float) -> Tensor:
    """The term called `distance`; "mix" is one third each of mse, cosine and infonce."""
    terms: dict[str, Callable[[], Tensor]] = {
        "mse": lambda: mse(u, batch, reduction),
        "cosine": lambda: cosine(u, batch),
        "infonce": lambda: infonce(u, batch, temperature),
        "vicreg": lambda: vicreg(u, batch),
    }
    if distance == "mix":
        return (terms["mse"]() + terms["cosine"]() + terms["infonce"]()) / 3
    return terms[distance]()
