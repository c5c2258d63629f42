"""Weakly supervised localisation: does an encoder that was told only labels look where the finding is?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from core.config import setting
from core.data.marked import Marked, marked
from core.data.store import StudyTable
from core.data.types import Bools, Floats, Ints
from core.errors import check_choice, check_range, require
from core.evaluation.base import EVALUATIONS, Evaluated, EvaluationContext, Skipped
from core.evaluation.linear import LinearProbe, label_probe
from core.evaluation.predictions import packed
from core.evaluation.saliency import MAPS, enlarged, has_blocks
from core.evaluation.tokens import image_batch
from core.evaluation.units import UNITS, unit_metrics
from core.evaluation.written import LOCALISATION


@dataclass
class LocalisationConfig:
    """Settings of localisation."""

    maps: list[str] = setting(["gradient", "attention"], "maps to hold against the boxes: gradient | attention")
    threshold: float = setting(0.5, "a pixel is inside from this share of a map's greatest value on, for the IoU")
    max_images: int = setting(1000, "at most so many test images with boxes, evenly spaced")

    def __post_init__(self) -> None:
        require(bool(self.maps), "evaluation.localisation.maps is empty", "give at least one, such as [gradient]")
        for name in self.maps:
            check_choice("evaluation.localisation.maps", name, MAPS)
        check_range("evaluation.localisation.threshold", self.threshold, 0, 1, open_low=True)
        check_range("evaluation.localisation.max_images", self.max_images, 1, 1_000_000)


@dataclass(frozen=True)
class Boxed:
    """Films and labels that have a box, a pair an entry. row: [P] image rows. label: [P] places among `names`.

    boxes: P arrays [n, 4], px of the training image.
    """

    table: StudyTable
    names: tuple[str, ...]
    row: Ints
    label: Ints
    boxes: list[Floats]


@EVALUATIONS.register(
    "localisation",
    config=LocalisationConfig,
    source="pointing game: Zhang et al. 2018; maps: core/evaluation/saliency.py",
)
def localisation(config: LocalisationConfig, context: EvaluationContext) -> Evaluated | Skipped:
    """Pointing game and IoU of saliency maps against the boxes of the test films, no box seen in training.

    The gradient is that of the label's logit in a linear probe of the frozen features. pointing_*: whether the map is
    greatest inside a box. iou_*: of the map's high part with the boxes, united. chance: the boxes' share of the film,
    what a random point and a map of the whole film would get. localisation.parquet: a row per film, label and metric.
    """
    if not has_blocks(context.method):
        return Skipped(f"method {context.config.method.name} has no transformer blocks to look into")
    regions = marked(context.store, context.config.data)
    if regions is None:
        return Skipped("the data set has no boxes of findings")
    probe = label_probe(context)
    pairs = boxed(context.store.splits["test"], regions, probe, config.max_images)
    if not len(pairs.row):
        return Skipped("no test image has a box of a label that the linear probe could be fitted to")
    units = pd.concat(list(_scores(config, context, probe, pairs)), ignore_index=True)
    return Evaluated(unit_metrics("localisation", units), files={LOCALISATION: packed(units)})


def boxed(table: StudyTable, regions: Marked, probe: LinearProbe, most: int) -> Boxed:
    """The films of a split with boxes of labels that the probe knows, at most `most` of them."""
    fitted = ~np.isnan(probe.model.bias)
    names = tuple(name for name, known in zip(table.label_names, fitted, strict=True) if known)
    shown = set(regions.table.loc[regions.table["label"].isin(names), "image_id"])
    rows = np.flatnonzero([str(name) in shown for name in table.image_ids])
    if len(rows) > most:
        rows = rows[np.arange(most) * len(rows) // most]
    found = regions.boxes([str(name) for name in table.image_ids[rows]], names)
    pairs = [(row, place, boxes) for row, own in zip(rows, found, strict=True) for place, boxes in enumerate(own)]
    kept = [pair for pair in pairs if len(pair[2])]
    row, label = (np.array([pair[column] for pair in kept], np.int64) for column in (0, 1))
    return Boxed(table, names, row, label, [pair[2] for pair in kept])


def _scores(
    config: LocalisationConfig, context: EvaluationContext, probe: LinearProbe, pairs: Boxed
) -> Iterator[pd.DataFrame]:
    evaluation, size = context.config.evaluation, context.store.size
    columns = [pairs.table.label_names.index(name) for name in pairs.names]
    slopes = torch.from_numpy(probe.slopes[:, columns].T.copy()).to(context.device)
    inside = np.stack([box_mask(boxes, size) for boxes in pairs.boxes])
    yield _frame(pairs, np.arange(len(pairs.row)), "chance", inside.mean(axis=(1, 2)))
    for first in range(0, len(pairs.row), evaluation.batch_size):
        part = np.arange(first, min(first + evaluation.batch_size, len(pairs.row)))
        images, view = image_batch(pairs.table, pairs.row[part], context.device)
        wanted = slopes[torch.from_numpy(pairs.label[part]).to(context.device)]
        for name in config.maps:
            maps = enlarged(MAPS[name](context.method, images, view, wanted, evaluation.pool), size).cpu().numpy()
            yield _frame(pairs, part, f"pointing_{name}", pointing(maps, inside[part]))
            yield _frame(pairs, part, f"iou_{name}", map_iou(maps, inside[part], config.threshold))


def _frame(pairs: Boxed, part: Ints, metric: str, value: Floats) -> pd.DataFrame:
    table = pairs.table
    study = np.repeat(np.arange(table.n_studies), np.diff(table.start))[pairs.row[part]]
    label = np.array(pairs.names)[pairs.label[part]]
    columns = (metric, label, table.study_ids[study], table.patient_ids[study], value.astype(np.float32))
    return pd.DataFrame(dict(zip(UNITS, columns, strict=True)))


def box_mask(boxes: Floats, size: int) -> Bools:
    """[size, size] whether a pixel's middle lies in one of the boxes [n, 4]; of a tiny box the pixel that it is in."""
    found = np.zeros((size, size), np.bool_)
    middle = np.arange(size) + 0.5
    for x0, y0, x1, y1 in boxes:
        across, down = (middle > x0) & (middle < x1), (middle > y0) & (middle < y1)
        across[min(int((x0 + x1) / 2), size - 1)] = down[min(int((y0 + y1) / 2), size - 1)] = True
        found |= down[:, None] & across[None]
    return found


def pointing(maps: Floats, inside: Bools) -> Floats:
    """[P] 1 where a map [P, H, W] is greatest inside, else 0; an empty map points nowhere, equals share the point."""
    top = maps == maps.max(axis=(1, 2), keepdims=True)
    hits = (top & inside).sum(axis=(1, 2)) / top.sum(axis=(1, 2))
    found: Floats = np.where(maps.max(axis=(1, 2)) > 0, hits, 0.0).astype(np.float32)
    return found


def map_iou(maps: Floats, inside: Bools, threshold: float) -> Floats:
    """[P] IoU with `inside` of where a map [P, H, W] reaches `threshold` of its greatest value; 0 for an empty map."""
    greatest = maps.max(axis=(1, 2), keepdims=True)
    high = (maps >= threshold * greatest) & (greatest > 0)
    both, either = (high & inside).sum(axis=(1, 2)), (high | inside).sum(axis=(1, 2))
    found: Floats = (both / np.maximum(either, 1)).astype(np.float32)
    return found
