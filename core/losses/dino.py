"""DINO's loss (Caron et al. 2021, section 3.1 and algorithm 1): cross-entropy to a centred and sharpened teacher."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from core import distributed
from core.losses.pairwise import mean_over_pairs


def teacher_distribution(logits: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """softmax((logits - centre) / temperature) of logits [n, K] and a centre [K]; no gradient reaches it."""
    return torch.softmax((logits.detach() - centre) / temperature, dim=1)


def distillation(student: Tensor, teacher: Tensor, counts: tuple[int, ...], temperature: float) -> Tensor:
    """Mean over all ranks' pairs of - sum_k teacher_k log softmax(student / temperature)_k.

    student: logits [P, K] of one image of each pair. teacher: distributions [P, K] of the other.
    """
    return mean_over_pairs(-teacher * functional.log_softmax(student / temperature, dim=1), counts)


def moved_centre(centre: Tensor, logits: Tensor, rows: int, momentum: float) -> Tensor:
    """momentum * centre + (1 - momentum) * mean of the teacher's logits over the batch of all ranks (equation 4).

    logits: [n, K], this rank's. rows: their number over all ranks.
    """
    return centre.lerp(distributed.sum_over_ranks(logits.sum(0)) / rows, 1 - momentum)
