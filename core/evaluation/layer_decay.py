"""Layer-wise learning-rate decay: the nearer a layer lies to the pixels, the less fine-tuning changes it.

A layer's rate is the head's times decay ^ (layers between them), as in BEiT (Bao et al. 2021), MAE (He et al. 2021,
appendix A.1) and timm's `param_groups_layer_decay`, whose groups these are.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from core.engines.optimisers import NO_DECAY_SUFFIXES


def layer_groups(model: nn.Module, encoder: Any, layer_decay: float, weight_decay: float) -> list[dict[str, Any]]:
    """AdamW's parameter groups of `model`, whose part "encoder." is `encoder`, with "lr_scale" in (0, 1] each.

    The encoder's layers count from 0 (its `layer_of`); all else is the head, one layer above the last. Vectors,
    positions and learned tokens do not decay.
    """
    layers = {
        name: encoder.layer_of(name.removeprefix("encoder.")) if name.startswith("encoder.") else -1
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    top = 1 + max(layers.values())
    groups: dict[tuple[int, float], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if name not in layers:
            continue
        layer = top if layers[name] < 0 else layers[name]
        decay = 0.0 if parameter.ndim < 2 or name.endswith(NO_DECAY_SUFFIXES) else weight_decay
        start: dict[str, Any] = {"params": [], "lr_scale": layer_decay ** (top - layer), "weight_decay": decay}
        groups.setdefault((layer, decay), start)["params"].append(parameter)
    return list(groups.values())
