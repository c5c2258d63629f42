"""What losses over pairs of images share: precision, means over the pairs of all ranks, and InfoNCE's cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from core import distributed


def at_least_float32(x: Tensor) -> Tensor:
    """x, in float32 where it is of less precision (float64 stays)."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def mean_over_pairs(per_pair: Tensor, counts: tuple[int, ...]) -> Tensor:
    """Mean over the pairs of all ranks of a value per pair of this rank, any shape; 0 where there is no pair.

    counts: pairs of every rank. Scaled so that DDP's average of gradients is the gradient on the whole batch.
    """
    return per_pair.sum() / max(1, sum(counts)) * distributed.world_size()


def study_numbers(study: Tensor, counts: tuple[int, ...]) -> Tensor:
    """[sum(counts)] int64, for the rows of all ranks a number that is their study's own.

    study: [counts[rank]] int64, the study of each row, counted on each rank from 0.
    """
    return distributed.gather_rows(study * distributed.world_size() + distributed.rank(), counts)


def contrast(
    query: Tensor, key: Tensor, query_study: Tensor, key_study: Tensor, positive: Tensor, temperature: float
) -> Tensor:
    """InfoNCE of each query, [Q]: -log softmax over the keys of query . key / temperature, at its positive.

    query [Q, d], key [K, d]: unit rows. positive: [Q] int64, a row of `key`. A key of the query's own study is no
    negative: it is left out, unless it is the positive.
    """
    logits = query @ key.T / temperature
    own = (query_study[:, None] == key_study[None, :]).scatter(1, positive[:, None], False)
    return functional.cross_entropy(logits.masked_fill(own, float("-inf")), positive, reduction="none")
