"""Segmentation of findings by small decoders on frozen patch tokens, against the data set's masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from core.config import setting
from core.data.marked import Marked, marked
from core.data.store import StudyTable
from core.data.types import Bools, Floats, Ints
from core.errors import DataError, check_choice, check_range, did_you_mean, require
from core.evaluation.base import EVALUATIONS, Evaluated, EvaluationContext, Skipped
from core.evaluation.decoders import LAYERS, Decoder, Schedule, train_decoder
from core.evaluation.predictions import packed
from core.evaluation.tokens import has_tokens, image_batch, patch_maps
from core.evaluation.units import UNITS, unit_metrics
from core.evaluation.written import SEGMENTATION


@dataclass
class SegmentationConfig:
    """Settings of segmentation."""

    decoders: list[str] = setting(["linear", "conv"], "decoders to train: linear | conv")
    labels: list[str] = setting([], "labels to segment; empty = all that have masks")
    fewest: int = setting(5, "a label with masks on fewer training images is left out")
    max_images: int = setting(2000, "at most so many training images, evenly spaced")
    epochs: int = setting(20, "passes over the training images")
    batch_size: int = setting(32, "images in one step")
    lr: float = setting(3e-3, "AdamW's learning rate, falling to 0 along a cosine")
    weight_decay: float = setting(0.01, "AdamW's weight decay")

    def __post_init__(self) -> None:
        require(bool(self.decoders), "evaluation.segmentation.decoders is empty", "give at least one, such as [linear]")
        for decoder in self.decoders:
            check_choice("evaluation.segmentation.decoders", decoder, LAYERS)
        check_range("evaluation.segmentation.fewest", self.fewest, 1, 1_000_000)
        check_range("evaluation.segmentation.max_images", self.max_images, 1, 1_000_000)
        check_range("evaluation.segmentation.epochs", self.epochs, 1, 100_000)
        check_range("evaluation.segmentation.batch_size", self.batch_size, 1, 1_000_000)
        check_range("evaluation.segmentation.lr", self.lr, 0, 100, open_low=True)
        check_range("evaluation.segmentation.weight_decay", self.weight_decay, 0, 10)


@dataclass(frozen=True)
class Masked:
    """The images of a split that have a mask. rows: [N] image rows. bits: [N, L, H, W / 8] packed masks.

    known: [N, L] whether an image's mask is known: it has one, or its study's label is 0.
    """

    table: StudyTable
    rows: Ints
    bits: Any
    known: Bools

    def masks(self, places: Any) -> Bools:
        """Masks [n, L, H, W] of some of the images."""
        found: Bools = np.unpackbits(self.bits[places], axis=-1, count=self._width()).astype(bool)
        return found

    def _width(self) -> int:
        return int(self.bits.shape[-2])


@EVALUATIONS.register("segmentation", config=SegmentationConfig, source="arXiv 2403.11504; decoders: Oquab et al. 2023")
def segmentation(config: SegmentationConfig, context: EvaluationContext) -> Evaluated | Skipped:
    """Dice and IoU of a linear and a small convolutional decoder on frozen patch tokens.

    Trained and scored on the images that have a mask: a label's score is the mean over the test images that show it,
    the score without a label the mean over labels. A pixel is inside from a probability of 0.5 on.
    segmentation.parquet: a row per image, label and metric.
    """
    if not has_tokens(context.method):
        return Skipped(f"method {context.config.method.name} has no patch tokens")
    regions = marked(context.store, context.config.data)
    if regions is None or not regions.labels(masked=True):
        return Skipped("the data set has no masks of findings")
    labels = _labels(config, regions)
    train = _masked(context.store.splits["train"], regions, labels, config.max_images)
    used = [place for place in range(len(labels)) if _count(train, place) >= config.fewest]
    if not used:
        return Skipped(f"no label has masks on {config.fewest} training images or more")
    labels = [labels[place] for place in used]
    train = Masked(train.table, train.rows, train.bits[:, used], train.known[:, used])
    test = _masked(context.store.splits["test"], regions, labels)
    if not len(test.rows):
        return Skipped("no test image has a mask of these labels")
    return _evaluated(config, context, labels, train, test)


def _labels(config: SegmentationConfig, regions: Marked) -> list[str]:
    present = regions.labels(masked=True)
    for name in config.labels:
        if name not in present:
            raise DataError(f"evaluation.segmentation.labels: no mask of {name!r}", did_you_mean(name, present))
    return list(config.labels) or present


def _count(images: Masked, label: int) -> int:
    return int(images.bits[:, label].any(axis=(1, 2)).sum())


def _masked(table: StudyTable, regions: Marked, labels: list[str], most: int | None = None) -> Masked:
    shown = set(regions.table.loc[regions.table["label"].isin(labels) & regions.table["counts"].notna(), "image_id"])
    rows = np.flatnonzero([str(name) in shown for name in table.image_ids])
    if most is not None and len(rows) > most:
        rows = rows[np.arange(most) * len(rows) // most]
    size = regions.size
    bits = np.zeros((len(rows), len(labels), size, -(-size // 8)), np.uint8)
    for place, row in enumerate(rows):
        bits[place] = np.packbits(regions.masks([table.image_ids[row]], labels)[0], axis=-1)
    study = np.repeat(np.arange(table.n_studies), np.diff(table.start))[rows]
    return Masked(table, rows, bits, bits.any(axis=(2, 3)) | _negative(table, labels)[study])


def _negative(table: StudyTable, labels: list[str]) -> Bools:
    """[S, L] whether a study is known not to have a finding."""
    found = np.zeros((table.n_studies, len(labels)), np.bool_)
    for place, name in enumerate(labels):
        if name in table.label_names:
            found[:, place] = table.labels[:, table.label_names.index(name)] == 0
    return found


def _evaluated(
    config: SegmentationConfig, context: EvaluationContext, labels: list[str], train: Masked, test: Masked
) -> Evaluated:
    maps = torch.cat([found for _, found in _batches(context, train)])

    def truth(places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        masks, known = train.masks(places.numpy()), train.known[places.numpy()]
        return torch.from_numpy(masks.astype(np.float32)), torch.from_numpy(known.astype(np.float32))

    schedule = Schedule(config.epochs, config.batch_size, config.lr, config.weight_decay, context.seed)
    frames = []
    for kind in config.decoders:
        decoder = train_decoder(kind, maps, len(labels), context.store.size, truth, schedule)
        frames += list(_scores(kind, decoder, context, labels, test))
    units = pd.concat(frames, ignore_index=True)
    return Evaluated(unit_metrics("segmentation", units), files={SEGMENTATION: packed(units)})


def _batches(context: EvaluationContext, images: Masked) -> Iterator[tuple[Any, torch.Tensor]]:
    """Places of images and their token maps [n, D, h, w], some at a time."""
    size = context.config.evaluation.batch_size
    for first in range(0, len(images.rows), size):
        places = np.arange(first, min(first + size, len(images.rows)))
        pixels, view = image_batch(images.table, images.rows[places], context.device)
        yield places, patch_maps(context.method, pixels, view)


def _scores(
    kind: str, decoder: Decoder, context: EvaluationContext, labels: list[str], test: Masked
) -> Iterator[pd.DataFrame]:
    study = np.repeat(np.arange(test.table.n_studies), np.diff(test.table.start))[test.rows]
    for places, maps in _batches(context, test):
        with torch.no_grad():
            inside = (decoder(maps) > 0).cpu().numpy()
        truth = test.masks(places)
        image, label = np.nonzero(truth.any(axis=(2, 3)))
        dice, iou = overlap(inside[image, label], truth[image, label])
        rows = study[places[image]]
        for name, value in (("dice", dice), ("iou", iou)):
            columns = (
                f"{name}_{kind}",
                np.array(labels)[label],
                test.table.study_ids[rows],
                test.table.patient_ids[rows],
            )
            yield pd.DataFrame(dict(zip(UNITS, (*columns, value), strict=True)))


def overlap(inside: Bools, truth: Bools) -> tuple[Floats, Floats]:
    """Dice and IoU [n] float32 of masks [n, H, W]; `truth` is never empty."""
    both = (inside & truth).sum(axis=(1, 2))
    total = inside.sum(axis=(1, 2)) + truth.sum(axis=(1, 2))
    return (2 * both / total).astype(np.float32), (both / (total - both)).astype(np.float32)
