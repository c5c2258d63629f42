"""Where an encoder looks: maps over the patches of an image, by attention or by the gradient of a label's logit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from core.evaluation.tokens import as_maps
from core.models.vit import normalise

# (method, uint8 images [N, 1, H, W], view [N], slopes [N, D] of the wanted logit, pool) -> maps [N, h, w], from 0 on.
MapFunction = Callable[[Any, Tensor, Tensor, Tensor, str], Tensor]


@contextmanager
def _attended(encoder: Any) -> Iterator[dict[str, Tensor]]:
    """While inside, a forward pass leaves what the last block attends to, its norm's output [N, 1 + T, D], as "tokens".

    It is ready for gradients.
    """
    seen: dict[str, Tensor] = {}

    def keep(_module: Any, _inputs: Any, output: Tensor) -> Tensor:
        seen["tokens"] = output.detach().requires_grad_()
        return seen["tokens"]

    handle = encoder.blocks[-1].norm1.register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()


def gradient_map(method: Any, images: Tensor, view: Tensor, slopes: Tensor, pool: str) -> Tensor:
    """What each patch adds to a linear function of the feature, where that is positive; pool: cls | mean.

    Gradient times activation, summed over the width (HiResCAM, Draelos & Carin 2020, eq. 4). The activations are the
    last before patches are put together: for "cls" what the last block attends to, for "mean" the tokens themselves,
    where it is the class activation map (Zhou et al. 2016, eq. 2). Before a LayerNorm it would be zero everywhere: the
    norm does not heed a token's length, so that its gradient is at right angles to the token.
    """
    with _attended(method.encoder) as seen, torch.enable_grad():
        tokens = method.encoder(normalise(images), view).float()
        if pool == "mean":
            share = (tokens[:, 1:] * slopes[:, None]).sum(-1, keepdim=True) / (tokens.shape[1] - 1)
        else:
            (gradient,) = torch.autograd.grad((tokens[:, 0] * slopes).sum(), seen["tokens"])
            share = (gradient * seen["tokens"]).float().sum(-1, keepdim=True)[:, 1:]
    return as_maps(share.detach().clamp(min=0))[:, 0]


@torch.no_grad()
def attention_map(method: Any, images: Tensor, view: Tensor, _slopes: Tensor, _pool: str) -> Tensor:
    """The last block's attention from CLS to the patches, mean over heads (Caron et al. 2021, figure 1).

    It knows of no label, so that the slopes do not count.
    """
    attention = method.encoder.blocks[-1].attn
    with _attended(method.encoder) as seen:
        method.encoder(normalise(images), view)
    tokens = seen["tokens"].detach()
    count, length, _ = tokens.shape
    split = attention.qkv(tokens).reshape(count, length, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    query, key = attention.q_norm(split[0])[:, :, :1], attention.k_norm(split[1])
    weights = (query * attention.scale @ key.transpose(-2, -1)).float().softmax(-1)
    return as_maps(weights.mean(1).transpose(1, 2)[:, 1:])[:, 0]


MAPS: Mapping[str, MapFunction] = {"gradient": gradient_map, "attention": attention_map}


def enlarged(maps: Tensor, size: int) -> Tensor:
    """Maps [N, h, w] as [N, size, size], bilinear."""
    return functional.interpolate(maps[:, None], size=(size, size), mode="bilinear", align_corners=False)[:, 0]


def has_blocks(method: Any) -> bool:
    """Whether a method's encoder has transformer blocks to look into."""
    return hasattr(method.encoder, "blocks")
