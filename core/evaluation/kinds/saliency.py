"""Saliency maps of a few test studies: where the label that the probe is surest of comes from, in both views."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch

from core.config import setting
from core.data.marked import marked
from core.data.types import Floats, Ints
from core.errors import check_choice, check_range
from core.evaluation.base import EVALUATIONS, Evaluated, EvaluationContext, Skipped
from core.evaluation.kinds.gallery import choose
from core.evaluation.linear import label_probe
from core.evaluation.saliency import MAPS, enlarged, has_blocks
from core.evaluation.tokens import image_batch
from core.evaluation.written import SALIENCY


@dataclass
class SaliencyConfig:
    """Settings of the page of saliency maps."""

    map: str = setting("gradient", "which map: gradient | attention")
    studies: int = setting(4, "test studies shown, those with both views first")

    def __post_init__(self) -> None:
        check_choice("evaluation.saliency.map", self.map, MAPS)
        check_range("evaluation.saliency.studies", self.studies, 1, 1000)


@EVALUATIONS.register("saliency", config=SaliencyConfig, source="maps: core/evaluation/saliency.py")
def saliency(config: SaliencyConfig, context: EvaluationContext) -> Evaluated | Skipped:
    """saliency.npz: image, map [N, H, W] uint8; view, study [N] int64; label [N] str; box [M, 4], box_image [M].

    A study's label is the surest of those that are there, or of all where none is. A map's greatest value is 255.
    `box_image` says which of the N images a box of that label is on, px.
    """
    if not has_blocks(context.method):
        return Skipped(f"method {context.config.method.name} has no transformer blocks to look into")
    table = context.store.splits["test"]
    probe = label_probe(context)
    if np.isnan(probe.model.bias).all():
        return Skipped("no label of the training split has both classes")
    studies, rows = choose(table, config.studies)
    study = np.searchsorted(studies, np.repeat(np.arange(table.n_studies), np.diff(table.start))[rows])
    features, _ = context.features["test"].at("study")
    label = surest(probe.probabilities(features[studies]), context.labels["test"][studies])[study]
    images, view = image_batch(table, rows, context.device)
    slopes = torch.from_numpy(probe.slopes[:, label].T.copy()).to(context.device)
    maps = MAPS[config.map](context.method, images, view, slopes, context.config.evaluation.pool)
    names = np.array(table.label_names)[label]
    arrays = {
        "image": images[:, 0].cpu().numpy(),
        "map": scaled(enlarged(maps, context.store.size).cpu().numpy()),
        "view": table.view[rows],
        "study": study,
        "label": names,
        **_boxes(context, [str(name) for name in table.image_ids[rows]], [str(name) for name in names]),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return Evaluated([], files={SALIENCY: buffer.getvalue()})


def surest(probability: Floats, truth: Floats) -> Ints:
    """[S] the label with the greatest probability [S, L] among those that are there, or among all where none is."""
    known = np.nan_to_num(probability, nan=-1.0)
    return np.argmax(known + 2 * ((truth == 1) & (known >= 0)), axis=1).astype(np.int64)


def scaled(maps: Floats) -> np.ndarray:
    """Maps [N, H, W] as uint8, each one's greatest value 255; an empty one stays empty."""
    greatest = maps.max(axis=(1, 2), keepdims=True)
    shares: np.ndarray = np.rint(255 * maps / np.where(greatest > 0, greatest, 1)).astype(np.uint8)
    return shares


def _boxes(context: EvaluationContext, images: list[str], labels: list[str]) -> dict[str, np.ndarray]:
    regions = marked(context.store, context.config.data)
    own = (
        [regions.boxes([image], [label])[0][0] for image, label in zip(images, labels, strict=True)] if regions else []
    )
    owner = np.repeat(np.arange(len(own)), [len(boxes) for boxes in own]).astype(np.int64)
    return {"box": np.concatenate([np.zeros((0, 4), np.float32), *own]), "box_image": owner}
