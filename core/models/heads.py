"""Heads of joint-embedding methods: projectors, predictors and DINO's prototypes."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from core import distributed
from core.losses.pairwise import at_least_float32


class BatchNorm(nn.BatchNorm1d):
    """Batch norm whose statistics are those of the rows [n, d] of all processes, n >= 0 on each.

    What torch's SyncBatchNorm does, which has no kernel for the CPU.
    """

    def forward(self, rows: Tensor) -> Tensor:
        """[n, d] -> [n, d], normalised over all ranks' rows; on one process torch's own kernel."""
        if distributed.world_size() == 1 or not self.training:
            return super().forward(rows)
        x = at_least_float32(rows)
        sums = distributed.sum_with_gradients(torch.cat([x.sum(0), x.new_full((1,), len(x))]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = x - mean
        variance = distributed.sum_with_gradients(centred.square().sum(0)) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        normal = centred * torch.rsqrt(variance + self.eps)
        return (normal * self.weight + self.bias if self.affine else normal).to(rows.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Running statistics, as torch keeps them."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1


class BatchNorm2d(BatchNorm):
    """The same over the places of maps [n, C, h, w] of all processes, for convolutional networks."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Maps and rows alike."""

    def forward(self, rows: Tensor) -> Tensor:
        """[n, C, h, w] -> [n, C, h, w]; on one process torch's own kernel."""
        if distributed.world_size() == 1 or not self.training:
            return super().forward(rows)
        places = rows.movedim(1, 3)
        return super().forward(places.flatten(0, 2)).view(places.shape).movedim(3, 1)


def mlp(width: int, widths: list[int]) -> nn.Sequential:
    """Linear layers with batch norm and ReLU after all but the last, which is linear without a bias."""
    layers: list[nn.Module] = []
    for hidden in widths[:-1]:
        layers += [nn.Linear(width, hidden), BatchNorm(hidden), nn.ReLU(inplace=True)]
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, widths[-1], bias=False))


def layers_flops(width: int, widths: list[int]) -> float:
    """Floating-point operations of linear layers of `widths` on one row of `width` (multiply-add = 2)."""
    return sum(2.0 * a * b for a, b in pairwise([width, *widths]))


class PrototypeHead(nn.Module):
    """DINO's head (Caron et al. 2021, section 3.2 and code): MLP with GELU, L2 norm, weight-normalised prototypes.

    forward(features [n, D], frozen) -> logits [n, K]: cosines of the bottleneck with the prototypes, times a gain
    each. frozen: the prototypes and their gains take part with a gradient of 0.
    """

    def __init__(self, width: int, hidden: int, bottleneck: int, prototypes: int, fixed_gain: bool) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, bottleneck)
        )
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.prototypes = nn.Parameter(nn.Linear(bottleneck, prototypes, bias=False).weight.detach())
        self.gain = nn.Parameter(torch.ones(prototypes), requires_grad=not fixed_gain)

    def forward(self, features: Tensor, frozen: bool = False) -> Tensor:
        """Logits of features; see the class."""
        bottleneck = functional.normalize(at_least_float32(self.mlp(features)), dim=1)
        layer = functional.normalize(self.prototypes, dim=1) * self.gain[:, None]
        # A gradient of 0 and not none: DDP waits for every parameter.
        return functional.linear(bottleneck, layer.detach() + 0 * layer if frozen else layer)
