"""Optimisers built from their config: parameter groups, and which parameters decay."""

from __future__ import annotations

import importlib

import torch
from torch import nn

from core.config import OptimConfig
from core.models.timm_import import import_timm

# Position and type embeddings and learned tokens are no weights of a layer (He et al. 2021, code).
NO_DECAY_SUFFIXES = ("cls_token", "mask_token", "pos_embed", "cls_position", "view_embed")


def parameter_groups(module: nn.Module, config: OptimConfig) -> list[dict[str, object]]:
    """Two groups, with and without weight decay, of the parameters that are trained."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        plain = parameter.ndim < 2 or name.endswith(NO_DECAY_SUFFIXES)
        (free if plain and not config.decay_norms else decayed).append(parameter)
    groups: list[dict[str, object]] = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def set_weight_decay(optimiser: torch.optim.Optimizer, value: float) -> None:
    """Set the weight decay, which is not 0, of the parameters that decay."""
    for group in optimiser.param_groups:
        if group["weight_decay"]:
            group["weight_decay"] = value


def build_optimiser(module: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """AdamW with the fused kernel, or timm's LARS (You et al. 2017)."""
    groups = parameter_groups(module, config)
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=config.base_lr, betas=(config.betas[0], config.betas[1]), fused=True)
    import_timm()
    return importlib.import_module("timm.optim").Lars(groups, lr=config.base_lr, momentum=config.momentum)
