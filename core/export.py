"""The trained weights as files: the method's own, and the encoder as timm reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.data.types import View
from core.errors import CheckpointError
from core.io import atomic_path
from core.methods.base import Method
from core.models.context import ContextResNet
from core.models.vit import PIXEL_MEAN, PIXEL_STD, ViewEncoder

EXPORTED_VIEWS = (View.FRONTAL, View.LATERAL)


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write tensors as safetensors, atomically; the bytes depend on the tensors and on `about` only.

    `about` is one JSON value under the metadata key "viewpair": safetensors writes several keys in random order.
    """
    metadata = {"viewpair": json.dumps(about, sort_keys=True)}
    plain = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    with atomic_path(path) as temporary:
        save_file(plain, temporary, metadata)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read safetensors. Raises CheckpointError that names the file when it is absent or cut short."""
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist", "train first: viewpair train ...") from error
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is no complete safetensors file ({error})", "delete it and train again"
        ) from error


def timm_arguments(encoder: ViewEncoder | ContextResNet) -> dict[str, Any]:
    """Keyword arguments of timm.create_model that build this architecture."""
    if isinstance(encoder, ContextResNet):
        return {"model_name": "resnet18", "in_chans": 1, "num_classes": 0}
    config = encoder.model_config
    return {
        "model_name": "vit_base_patch16_224",
        "img_size": encoder.size,
        "patch_size": config.patch,
        "in_chans": 1,
        "num_classes": 0,
        "embed_dim": config.width,
        "depth": config.depth,
        "num_heads": config.heads,
        "mlp_ratio": config.mlp_ratio,
        "qk_norm": config.qk_norm,
        "no_embed_class": True,
        "global_pool": "token",
    }


def timm_state(encoder: ViewEncoder | ContextResNet, view: View) -> dict[str, Tensor]:
    """timm state dict of the encoder for one view; the view-type embedding is folded into the positions.

    Context bottlenecks, which timm has not, stand beside it under "bottlenecks.".
    """
    if isinstance(encoder, ContextResNet):
        return {name.removeprefix("backbone."): value for name, value in encoder.state_dict().items()}
    state = {name: value for name, value in encoder.state_dict().items() if name != "view_embed"}
    if encoder.view_embed is not None:
        state["pos_embed"] = state["pos_embed"] + encoder.view_embed[view].detach()
    return state


def export_encoder(folder: Path, encoder: ViewEncoder | ContextResNet) -> list[Path]:
    """Write encoder_<view>.safetensors for each view, with the timm arguments and pixel scale as metadata."""
    paths = []
    for view in EXPORTED_VIEWS:
        about = {
            "timm": timm_arguments(encoder),
            "pixels": {"range": [0, 1], "mean": PIXEL_MEAN, "std": PIXEL_STD},
            "view": view.label,
        }
        path = folder / f"encoder_{view.label}.safetensors"
        save_tensors(path, timm_state(encoder, view), about)
        paths.append(path)
    return paths


def load_exported(path: Path) -> torch.nn.Module:
    """The timm model of an exported encoder file, with its weights.

    Raises CheckpointError for an encoder with context bottlenecks: timm's model would be another one.
    """
    from core.models.timm_import import import_timm

    state = load_tensors(path)
    if any(name.startswith("bottlenecks.") for name in state):
        raise CheckpointError(
            f"{path} is an encoder with attention between its stages, which timm's model has not",
            "take the trial's model.safetensors; or leave out what is named bottlenecks., as MLVICX's release does",
        )
    with safe_open(path, "pt") as opened:
        arguments = json.loads(opened.metadata()["viewpair"])["timm"]
    model = import_timm().create_model(**arguments)
    model.load_state_dict(state)
    return model


def save_method(path: Path, method: Method) -> None:
    """Write all of a method's weights (the encoder's under "encoder.")."""
    save_tensors(path, dict(method.state_dict()), {"method": method.config.name})


def load_method_weights(path: Path, method: Method) -> None:
    """Load weights written by `save_method`. Raises CheckpointError when they are another architecture's."""
    state = load_tensors(path)
    try:
        method.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).split("\n", 2)[1].strip()
        raise CheckpointError(
            f"{path} does not fit this method and model: {first}",
            "use the config that it was trained with (config.json beside it)",
        ) from error
