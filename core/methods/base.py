"""What a method is: an nn.Module that turns a batch of views into named losses and exposes an encoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from core.config import MethodConfig, ModelConfig
from core.data.store import StudyTable
from core.data.types import Bools
from core.registry import Registry


@dataclass
class ViewBatch:
    """Views of B studies, packed: only images that exist, N of them, in study order then slot order.

    images: [N, 1, H, W] uint8 as loaded; float32 in [0, 1] once augmented.
    view: [N] int64, a `View` value. study: [N] int64 in [0, B), which study of the batch an image is of.
    pairs: [P, 2] int64, positions i < j in the packed images of each positive pair (P may be 0).
    labels: [B, L] float32, 1 / 0 / -1 (uncertain) / NaN (not mentioned) / UNKNOWN.
    index: [B] int64, row of each study in its split's table. labelled: [B] bool, label may be used.
    slot: [N] int64, where an image stands in the GLOBAL batch's grid of studies x view slots
    (study * M + slot), and `slots` that grid's size: randomness is drawn for the grid and picked by slot,
    so that it does not depend on the number of processes.
    images_per_study, pairs_per_study: images and pairs of every study of the global batch, rank by rank, on the
    host: what others hold is known without a message. Each rank holds B of these studies.
    report: [B, R] int64, words of each study's report (core/data/reports.py); R = 0 where there are no reports.
    """

    images: Tensor
    view: Tensor
    study: Tensor
    pairs: Tensor
    labels: Tensor
    index: Tensor
    labelled: Tensor
    slot: Tensor
    slots: int
    images_per_study: tuple[int, ...]
    pairs_per_study: tuple[int, ...]
    report: Tensor

    @property
    def images_per_rank(self) -> tuple[int, ...]:
        """N of every process."""
        return self._per_rank(self.images_per_study)

    @property
    def pairs_per_rank(self) -> tuple[int, ...]:
        """P of every process."""
        return self._per_rank(self.pairs_per_study)

    def _per_rank(self, counts: tuple[int, ...]) -> tuple[int, ...]:
        share = len(self.index)
        return tuple(sum(counts[first : first + share]) for first in range(0, len(counts), share))

    def to(self, device: torch.device) -> ViewBatch:
        """The same batch on `device`; copies do not block."""
        moved: dict[str, Any] = {
            k: v.to(device, non_blocking=True) for k, v in vars(self).items() if isinstance(v, Tensor)
        }
        return replace(self, **moved)


@dataclass(frozen=True)
class MethodContext:
    """What a method may know of its surroundings when it is built.

    model: the encoder's config. size: side of an image, px. labels: names of the L labels.
    total_steps and steps_per_epoch: length of training in optimiser steps, for schedules.
    attention: "sdpa" | "plain". vocabulary: numbers that a word of a report may have, 0 where there are no reports;
    report_words: R, words of the longest report and its end.
    """

    model: ModelConfig
    size: int
    labels: tuple[str, ...]
    total_steps: int
    steps_per_epoch: int
    attention: str
    vocabulary: int = 0
    report_words: int = 0


class Method(nn.Module):
    """Base of every method. A subclass sets `encoder` and defines `forward`.

    forward(batch, step, generator) -> dict of scalar tensors. "loss" is what is minimised; the rest is
    logged. It must not make the host wait for the device. `generator` lives on the batch's device and is
    seeded from (seed, step), the same on all ranks.
    """

    encoder: Any

    def __init__(self, config: MethodConfig, context: MethodContext) -> None:
        super().__init__()
        self.config, self.context = config, context

    def forward(self, batch: ViewBatch, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Named losses of one batch."""
        raise NotImplementedError

    def train_studies(self, table: StudyTable, seed: int) -> Bools:
        """[S] bool: the studies of the training split that this method trains on (all, unless it says less)."""
        return np.ones(table.n_studies, dtype=np.bool_)

    def forward_flops(self) -> dict[str, float]:
        """Multiply-adds x 2 of one image's forward pass, by part ("encoder", "decoder", "head")."""
        raise NotImplementedError


class PredictsLabels(Protocol):
    """A method with a classifier of its own (the supervised baseline)."""

    def predict(self, images: Tensor, view: Tensor, study: Tensor, studies: int) -> Tensor:
        """Logits [studies, L] of uint8 images [N, 1, H, W]."""


class Reconstructs(Protocol):
    """A method that paints masked patches."""

    def reconstruct(self, images: Tensor, view: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """uint8 images [N, 1, H, W] -> {"input", "masked", "output"}, each [N, H, W] float32 in [0, 1]."""


METHODS: Registry[type[Method]] = Registry("method", "core.methods")
