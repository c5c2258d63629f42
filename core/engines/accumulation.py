"""Gradient accumulation: a batch in several parts, one after the other, for one optimiser step.

Part k of K holds the studies whose number in the GLOBAL batch is k modulo K, so that a part is the same studies
whatever the number of processes. Each part's losses are means over its images; weighted by its share of the batch's
images they sum to the mean over the whole batch, exactly for a loss that is a mean over images (reconstruction).
Losses that look across the batch (InfoNCE, VICReg) and batch norm see one part at a time; means over pairs or labels
are weighted by images too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate

import torch
from torch import Tensor

from core import distributed
from core.errors import ConfigError
from core.methods.base import ViewBatch


def parts(batch: ViewBatch, count: int, generator: torch.Generator) -> Iterator[tuple[ViewBatch, float]]:
    """`count` parts of this rank's batch, each with its share of the global batch's images.

    The generator starts each part where it started the first: randomness is drawn for the whole grid of slots, so
    the parts together are masked as the whole batch would be. Raises ConfigError when they would not be equal.
    """
    if count == 1:
        yield batch, 1.0
        return
    studies = len(batch.index)
    if studies % count:
        raise ConfigError(
            f"train.micro_batches={count} does not divide the {studies} studies that each process has in a batch",
            "choose a number that divides them (a batch is never larger than the training split)",
        )
    state, images = generator.get_state(), sum(batch.images_per_study)
    for number in range(count):
        generator.set_state(state)
        part = _part(batch, number, count)
        yield part, sum(part.images_per_study) / images


def _part(batch: ViewBatch, number: int, count: int) -> ViewBatch:
    """Part `number` of `count`; what to pick is known on the host, so nothing waits for the device."""
    share, rank, device = len(batch.index), distributed.rank(), batch.images.device
    mine = slice(rank * share, (rank + 1) * share)
    chosen = range((number - rank * share) % count, share, count)
    images = _rows(batch.images_per_study[mine], chosen).to(device, non_blocking=True)
    pairs = _rows(batch.pairs_per_study[mine], chosen).to(device, non_blocking=True)
    studies = torch.tensor(chosen).to(device, non_blocking=True)
    # Positions in the whole batch -> positions in the part; what is not in it is never asked for.
    image_at = batch.study.new_zeros(len(batch.images)).scatter(0, images, torch.arange(len(images), device=device))
    study_at = batch.study.new_zeros(share).scatter(0, studies, torch.arange(len(studies), device=device))
    return replace(
        batch,
        images=batch.images[images],
        view=batch.view[images],
        study=study_at[batch.study[images]],
        pairs=image_at[batch.pairs[pairs]],
        labels=batch.labels[studies],
        index=batch.index[studies],
        labelled=batch.labelled[studies],
        slot=batch.slot[images],
        images_per_study=batch.images_per_study[number::count],
        pairs_per_study=batch.pairs_per_study[number::count],
        report=batch.report[studies],
    )


def _rows(counts: tuple[int, ...], chosen: range) -> Tensor:
    """int64 places of the rows of the `chosen` studies where study s has `counts[s]` rows."""
    ends = list(accumulate(counts))
    return torch.tensor([row for s in chosen for row in range(ends[s] - counts[s], ends[s])], dtype=torch.int64)


class LossSum:
    """Sum of the parts' losses, each weighted by its share; detached scalars on the device."""

    def __init__(self) -> None:
        self.losses: dict[str, Tensor] = {}

    def add(self, losses: dict[str, Tensor], share: float) -> None:
        """Add one part's losses."""
        for name, value in losses.items():
            weighted = value.detach() * share
            self.losses[name] = self.losses[name] + weighted if name in self.losses else weighted
