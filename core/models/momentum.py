"""Momentum networks: copies that no gradient reaches and that follow the trained network by a moving average."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from core.errors import require


def twin(module: nn.Module) -> nn.Module:
    """A copy with the same weights, none of them trained."""
    return copy.deepcopy(module).requires_grad_(False)


def check_whole(target: nn.Module) -> None:
    """Raise ConfigError where the weights are sharded, or too coarse for a step of 1 - momentum to be seen."""
    whole = all(p.numel() > 0 and torch.finfo(p.dtype).bits >= 32 for p in target.parameters())
    require(
        whole,
        "a momentum encoder needs whole weights in fp32 on every process, and this engine shards or rounds them",
        "use engine=ddp, or ZeRO up to stage 2 with fp32 weights",
    )


def follow(target: nn.Module, online: nn.Module, momentum: float) -> None:
    """target <- momentum * target + (1 - momentum) * online, parameter by parameter; buffers stay as they are."""
    update = get_ema_multi_avg_fn(momentum)
    update(list(target.parameters()), list(online.parameters()), None)
