"""An encoder's patch tokens as maps, for evaluations that ask where on a film something is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.data.store import StudyTable
from core.data.types import Ints
from core.models.vit import normalise


def has_tokens(method: Any) -> bool:
    """Whether a method's encoder is a vision transformer, whose tokens are patches of the image."""
    return isinstance(getattr(method.encoder, "tokens", None), int)


def image_batch(table: StudyTable, rows: Ints, device: str) -> tuple[Tensor, Tensor]:
    """Image rows [N] of a table as uint8 [N, 1, H, W] and their views [N], on `device`."""
    pixels = torch.from_numpy(np.ascontiguousarray(table.pixels.read(rows))).unsqueeze(1)
    return pixels.to(device), torch.from_numpy(table.view[rows]).to(device)


@torch.no_grad()
def patch_maps(method: Any, images: Tensor, view: Tensor) -> Tensor:
    """Frozen patch tokens of uint8 images [N, 1, H, W] as [N, D, h, w] float32, h x w patches in their places."""
    tokens = method.encoder(normalise(images), view)[:, 1:].float()
    return as_maps(tokens)


def as_maps(tokens: Tensor) -> Tensor:
    """[N, T, D] in row order -> [N, D, sqrt(T), sqrt(T)]."""
    side = math.isqrt(tokens.shape[1])
    return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)
