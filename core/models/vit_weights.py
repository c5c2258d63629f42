"""Weights of a vision transformer in timm's layout as our encoder's: what differs is folded, resampled or named.

timm's models see RGB images that were normalised by their own constants. A film has one channel, so the patch
projection's channels are summed, with both normalisations folded into it: the encoder then computes, to rounding, what
the timm model computes for the film shown as a grey RGB image.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from core.errors import CheckpointError
from core.models.timm_import import import_timm
from core.models.vit import PIXEL_MEAN, PIXEL_STD, ViewEncoder

PROJECTION = "patch_embed.proj.weight"
# Parts of published checkpoints that are no part of an encoder: classifiers and MAE's decoder.
NOT_ENCODER = ("head.", "head_dist.", "decoder_", "mask_token")
NEEDED = (PROJECTION, "pos_embed", "cls_token", "norm.weight", "blocks.0.attn.qkv.weight", "blocks.0.mlp.fc1.weight")
SHOWN = 4


def encoder_state(
    state: dict[str, Tensor], encoder: ViewEncoder, mean: Sequence[float], std: Sequence[float], heads: int | None
) -> dict[str, Tensor]:
    """State dict for `encoder` of a state dict in timm's layout: floating-point tensors by name.

    mean, std: per input channel, of pixels in [0, 1], by which the weights' images were normalised. heads: attention
    heads where they are known; the shapes tell them only with QK-norm. Positions are resampled to the encoder's grid
    (bicubic, as timm does); a position of the CLS token is added to that token; a view-type embedding that the file
    does not have is 0. Raises CheckpointError that names every setting in which the two models differ.
    """
    kept = {name: value.float() for name, value in state.items() if not name.startswith(NOT_ENCODER)}
    check_architecture(kept, encoder, heads)
    kept["patch_embed.proj.weight"], kept["patch_embed.proj.bias"] = fold_channels(
        kept["patch_embed.proj.weight"], kept["patch_embed.proj.bias"], mean, std
    )
    if encoder.view_embed is not None and "view_embed" not in kept:
        kept["view_embed"] = torch.zeros_like(encoder.view_embed)
    return kept | fit_positions(kept["pos_embed"], kept["cls_token"], math.isqrt(encoder.tokens))


def check_architecture(state: dict[str, Tensor], encoder: ViewEncoder, heads: int | None) -> None:
    """Raise CheckpointError unless `state` is of the encoder's architecture; positions and channels may differ."""
    if lacking := [name for name in NEEDED if name not in state]:
        raise CheckpointError(
            f"this is no vision transformer in timm's layout: it has no {', '.join(lacking)}; it has {some(state)}",
            "give a timm ViT with a CLS token, or weights that viewpair wrote",
        )
    theirs, ours = settings_of(state, heads), settings_of(encoder.state_dict(), encoder.model_config.heads)
    differing = {name: value for name, value in theirs.items() if value != ours.get(name, value)}
    if differing:
        said = "; ".join(f"{name} is {value} there, {ours[name]} here" for name, value in differing.items())
        settings = " ".join(f"{name}={str(value).lower()}" for name, value in differing.items())
        raise CheckpointError(f"it is of another backbone: {said}", f"set {settings}, or give other weights")
    check_same_names(state, encoder.state_dict(), optional=("view_embed",))


def settings_of(state: dict[str, Tensor], heads: int | None) -> dict[str, Any]:
    """The settings of `model` that a state dict's shapes tell, by their names in the config."""
    width, hidden = len(state["norm.weight"]), len(state["blocks.0.mlp.fc1.weight"])
    depth = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))
    norm = state.get("blocks.0.attn.q_norm.weight")
    heads = heads or (None if norm is None else width // len(norm))
    found = {
        "model.width": width,
        "model.depth": depth,
        "model.patch": state[PROJECTION].shape[-1],
        "model.mlp_ratio": hidden / width,
        "model.qk_norm": norm is not None,
    }
    return found | ({"model.heads": heads} if heads else {})


def check_same_names(theirs: Iterable[str], ours: Iterable[str], optional: Iterable[str] = ()) -> None:
    """Raise CheckpointError, naming some of them, where one of two state dicts has tensors that the other has not."""
    theirs, ours = set(theirs), set(ours)
    missing, unknown = ours - theirs - set(optional), theirs - ours
    said = [f"it lacks {some(missing)}"] if missing else []
    said += [f"it has {some(unknown)}, which is not here"] if unknown else []
    if said:
        raise CheckpointError(f"it is of another backbone: {'; '.join(said)}", "give weights of this method's encoder")


def some(names: Iterable[str]) -> str:
    """The first of some names, and how many more there are."""
    shown = sorted(names)
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return ", ".join(shown[:SHOWN]) + more


def fold_channels(weight: Tensor, bias: Tensor, mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Projection [D, C, p, p] and bias [D] of C channels, each with its mean and std, as [D, 1, p, p] and [D] of ours.

    A pixel x is seen as z = (x - PIXEL_MEAN) / PIXEL_STD here and as (x - mean_c) / std_c there.
    Raises CheckpointError where the numbers of channels differ.
    """
    channels = weight.shape[1]
    if channels != len(mean):
        raise CheckpointError(f"its images have {channels} channels", "give weights for grey or RGB images")
    if list(mean) == [PIXEL_MEAN] and list(std) == [PIXEL_STD]:
        return weight, bias
    exact = weight.double()
    scale = 1 / torch.tensor(std, dtype=torch.float64).view(1, -1, 1, 1)
    shift = (PIXEL_MEAN - torch.tensor(mean, dtype=torch.float64).view(1, -1, 1, 1)) * scale
    grey = (exact * scale * PIXEL_STD).sum(1, keepdim=True)
    return grey.float(), (bias.double() + (exact * shift).sum((1, 2, 3))).float()


def fit_positions(positions: Tensor, cls_token: Tensor, side: int) -> dict[str, Tensor]:
    """pos_embed [1, side * side, D] and cls_token [1, 1, D] of positions [1, (1 +) T, D] on any square grid."""
    prefix = 0 if math.isqrt(positions.shape[1]) ** 2 == positions.shape[1] else 1
    patches = positions[:, prefix:]
    if math.isqrt(patches.shape[1]) ** 2 != patches.shape[1]:
        raise CheckpointError(
            f"its {positions.shape[1]} positions are no square grid and a CLS token",
            "give weights with at most one token besides the patches",
        )
    resample = import_timm().layers.resample_abs_pos_embed
    fitted: Tensor = resample(patches, new_size=[side, side], num_prefix_tokens=0)
    return {"pos_embed": fitted, "cls_token": cls_token + positions[:, :prefix].sum(1, keepdim=True)}
