"""Films with a bright patch on dark noise, marked by a mask and a box, and an encoder whose tokens show where it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from core.config import DataConfig, ModelConfig
from core.data.regions import encode, regions, write_regions
from core.data.store import StudyStore
from core.models.vit import ViewEncoder
from tests.core.evaluation.conftest import LABELS, ArrayPixels, make_config, make_context, make_store

SIZE, PATCH = 16, 4


class TokenEncoder(nn.Module):
    """Tokens are the patches' own pixels, in front of them their mean as CLS; blind: all tokens are alike."""

    def __init__(self, blind: bool = False) -> None:
        super().__init__()
        self.width, self.tokens, self.blind = PATCH * PATCH, (SIZE // PATCH) ** 2, blind

    def forward(self, images: Tensor, view: Tensor) -> Tensor:
        side = SIZE // PATCH
        grid = images.reshape(-1, side, PATCH, side, PATCH).permute(0, 1, 3, 2, 4).reshape(len(images), -1, self.width)
        grid = torch.zeros_like(grid) if self.blind else grid
        return torch.cat([grid.mean(1, keepdim=True), grid], dim=1)

    def embed(self, images: Tensor, view: Tensor, pool: str = "cls") -> Tensor:
        return self(images.float() / 255, view)[:, 0]


def tiny_encoder(seed: int = 0) -> ViewEncoder:
    """A real vision transformer of the spotted films' size, its weights drawn from `seed`."""
    torch.manual_seed(seed)
    return ViewEncoder(ModelConfig(patch=PATCH, width=16, depth=2, heads=2), SIZE, "plain").eval()


def spotted_store(folder: Path, seed: int = 0, train: int = 60) -> StudyStore:
    """A store of spotted films with regions below `folder`: label l is a patch of its own brightness.

    Each film of a study that has the label shows it somewhere; the study's labels say which it has.
    """
    store, rng = make_store(seed, train), np.random.default_rng(seed)
    splits, found = {}, []
    for name, table in store.splits.items():
        pixels = rng.integers(0, 40, (table.n_images, SIZE, SIZE))
        study = np.repeat(np.arange(table.n_studies), np.diff(table.start))
        for row in range(table.n_images):
            for label in np.flatnonzero(table.labels[study[row]]):
                y, x = rng.integers(0, SIZE // PATCH, 2) * PATCH
                pixels[row, y : y + PATCH, x : x + PATCH] = 90 + 70 * label
                mask = np.zeros((SIZE, SIZE), bool)
                mask[y : y + PATCH, x : x + PATCH] = True
                found.append((table.image_ids[row], LABELS[label], x, y, x + PATCH, y + PATCH, encode(mask)))
        splits[name] = replace(table, pixels=ArrayPixels(pixels.astype(np.uint8)))
    table = pd.DataFrame(found, columns=["image_id", "label", "x0", "y0", "x1", "y1", "counts"])
    (folder / "source").mkdir(parents=True, exist_ok=True)
    write_regions(regions(table, height=SIZE, width=SIZE), folder / "source")
    return replace(store, size=SIZE, splits=splits, folder=folder)


def spotted_context(store: StudyStore, encoder: nn.Module, **evaluation: Any) -> Any:
    """What an evaluation gets, with settings as for `make_config`."""
    config = replace(make_config(**evaluation), data=DataConfig(name="fake", size=SIZE), model=ModelConfig(patch=PATCH))
    method = nn.Module()
    method.encoder = encoder
    return make_context(store, config, method)
