"""Reconstructions of a few test studies: what went in, what was masked, what came out, in both views."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from core.config import setting
from core.data.store import StudyTable
from core.data.types import Ints, View
from core.errors import check_range
from core.evaluation.base import EVALUATIONS, Evaluated, EvaluationContext, Skipped

PANELS = ("input", "masked", "output")


@dataclass
class GalleryConfig:
    """Settings of the page of reconstructions."""

    studies: int = setting(4, "test studies shown, those with both views first")

    def __post_init__(self) -> None:
        check_range("evaluation.gallery.studies", self.studies, 1, 1000)


@EVALUATIONS.register("gallery", config=GalleryConfig, source="He et al. 2021, figure 2")
def gallery(config: GalleryConfig, context: EvaluationContext) -> Evaluated | Skipped:
    """gallery.npz: input, masked, output [N, H, W] uint8; view, study [N] int64; study_ids [n] str.

    `study` counts the shown studies from 0. Masks are drawn from the trial's seed.
    """
    method: Any = context.method
    if not hasattr(method, "reconstruct"):
        return Skipped(f"method {context.config.method.name} does not reconstruct images")
    table = context.store.splits["test"]
    studies, rows = choose(table, config.studies)
    view = table.view[rows]
    images = torch.from_numpy(np.ascontiguousarray(table.pixels.read(rows))).unsqueeze(1).to(context.device)
    generator = torch.Generator(context.device).manual_seed(context.seed)
    with torch.inference_mode():
        panels = method.reconstruct(images, torch.from_numpy(view).to(context.device), generator)
    arrays = {name: _to_bytes(panels[name]) for name in PANELS}
    arrays |= {
        "view": view,
        "study": np.searchsorted(studies, _study_of(table)[rows]),
        "study_ids": table.study_ids[studies],
    }
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    return Evaluated([], files={"gallery.npz": packed.getvalue()})


def choose(table: StudyTable, count: int) -> tuple[Ints, Ints]:
    """Study rows [n], ascending, and their image rows [N]: the first image of each view of each study.

    Studies with both views come first, taken evenly over the split; then the others.
    """
    study = _study_of(table)
    frontal = np.isin(np.arange(table.n_studies), study[table.view == View.FRONTAL])
    lateral = np.isin(np.arange(table.n_studies), study[table.view == View.LATERAL])
    both, rest = np.flatnonzero(frontal & lateral), np.flatnonzero(~(frontal & lateral))
    chosen = _spaced(both, count)
    studies = np.sort(np.concatenate([chosen, _spaced(rest, count - len(chosen))]))
    _, first = np.unique(study * len(View) + table.view, return_index=True)
    first = np.sort(first)
    return studies, first[np.isin(study[first], studies)]


def _study_of(table: StudyTable) -> Ints:
    return np.repeat(np.arange(table.n_studies), np.diff(table.start))


def _spaced(rows: Ints, count: int) -> Ints:
    count = min(count, len(rows))
    return rows[np.arange(count) * len(rows) // count] if count else rows[:0]


def _to_bytes(panel: torch.Tensor) -> np.ndarray:
    pixels: np.ndarray = (panel.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return pixels
