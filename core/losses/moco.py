"""MoCo v3's loss (Chen, Xie, He 2021, algorithm 1): InfoNCE between queries and a momentum encoder's keys."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from core import distributed
from core.losses.pairwise import contrast, mean_over_pairs, study_numbers


def momentum_contrast(query: Tensor, key: Tensor, study: Tensor, counts: tuple[int, ...], temperature: float) -> Tensor:
    """2 * temperature * the mean over all ranks' pairs of InfoNCE; no gradient reaches the keys.

    query, key: [P, d], the two sides of this rank's pairs, unnormalised. study: [P] int64, whose pair it is. counts:
    pairs of every rank. Negatives are the other studies' keys, over all ranks.
    """
    keys = distributed.gather_rows(functional.normalize(key.detach(), dim=1), counts)
    owner = study_numbers(study, counts)
    own = torch.arange(len(query), device=query.device) + sum(counts[: distributed.rank()])
    per_query = contrast(functional.normalize(query, dim=1), keys, owner[own], owner, own, temperature)
    return 2 * temperature * mean_over_pairs(per_query, counts)
