"""MLVICX's multi-level branch: the feature maps of all stages as one vector (arXiv 2403.11504)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

COMMON, CELLS = 64, 4  # sides of the grid that all maps are resized to, and of the one that they are averaged over


class MultiLevel(nn.Module):
    """Maps -> resized to 64 x 64 -> 1x1 convolution each -> summed -> averaged over 4 x 4 cells -> a vector.

    Resizing and averaging are weighted means over places and the convolution is linear in the channels, so that their
    order does not matter: here the two means are one, rows and columns apart, and the convolutions come last, on 4 x 4
    places in place of 64 x 64.
    """

    def __init__(self, channels: Sequence[int], width: int, frozen: bool) -> None:
        super().__init__()
        self.projections = nn.ModuleList([nn.Conv2d(count, width, 1) for count in channels])
        self.projections.requires_grad_(not frozen)
        self.features = width * CELLS**2

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps [N, C, h, w], each of its own C, h and w -> [N, 16 * width]."""
        cells = [_averaged(one) for one in maps]
        projected = [project(cell) for project, cell in zip(self.projections, cells, strict=True)]
        return torch.stack(projected).sum(0).flatten(1)


def _averaged(maps: Tensor) -> Tensor:
    """[N, C, h, w] -> [N, C, 4, 4]."""
    rows, columns = (_averaging(side).to(maps) for side in maps.shape[-2:])
    return rows @ maps @ columns.T


@functools.cache
def _averaging(side: int) -> Tensor:
    """[4, side]: a line of `side` places resized to 64 and averaged over cells, as one matrix."""
    places = torch.eye(side)[:, None]
    resized = functional.interpolate(places, size=COMMON, mode="linear", align_corners=False)
    return functional.adaptive_avg_pool1d(resized, CELLS)[:, 0].T
