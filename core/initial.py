"""Initial weights from a file: a trained trial, a checkpoint, an exported encoder, or timm's (ImageNet) weights.

Only the encoder is taken; heads and decoders start fresh, and a momentum encoder starts as the encoder that it follows.
Nothing is downloaded and nothing is unpickled: safetensors, or a torch file of plain tensors (weights_only=True).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from torch import Tensor

from core.config import InitConfig
from core.errors import CheckpointError
from core.io import read_json
from core.weights_file import weights_file

if TYPE_CHECKING:
    from core.methods.base import Method

ENCODER = "encoder."
# Where a state dict lies in files that hold more: in our checkpoints, and in those that others publish.
INSIDE = ("engine", "method", "model", "state_dict")


@dataclass(frozen=True)
class Weights:
    """An encoder's weights as read. scale: (mean, std) per channel of its pixels; heads: of its attention; if known."""

    state: dict[str, Tensor]
    scale: tuple[list[float], list[float]] | None
    heads: int | None


def initialise(method: Method, config: InitConfig) -> None:
    """Put the weights of `init.path`, if any, into a fresh method's encoder and into those that follow it.

    Raises CheckpointError that names the file, and each setting in which its backbone differs from this one.
    """
    if not config.path:
        return
    path = weights_file(config)
    try:
        state = fitted(read_weights(path), method.encoder, config)
    except CheckpointError as error:
        raise CheckpointError(f"init.path={path}: {error.what}", error.hint) from error
    for module in method.modules():
        if type(module) is type(method.encoder):
            module.load_state_dict(state)


def fitted(weights: Weights, encoder: Any, config: InitConfig) -> dict[str, Tensor]:
    """The weights as the encoder's state dict. Raises CheckpointError when they are of another backbone."""
    from core.models.vit import PIXEL_MEAN, PIXEL_STD, ViewEncoder
    from core.models.vit_weights import PROJECTION, check_same_names, encoder_state

    if isinstance(encoder, ViewEncoder):
        rgb = PROJECTION in weights.state and weights.state[PROJECTION].shape[1] == 3
        mean, std = weights.scale or ((config.mean, config.std) if rgb else ([PIXEL_MEAN], [PIXEL_STD]))
        return encoder_state(weights.state, encoder, mean, std, weights.heads)
    own = encoder.state_dict()
    check_same_names(weights.state, own)
    if other := [name for name, value in own.items() if value.shape != weights.state[name].shape]:
        said = f"{other[0]} is {list(weights.state[other[0]].shape)} there, {list(own[other[0]].shape)} here"
        raise CheckpointError(f"it is of another backbone: {said}", "give weights of this method's encoder")
    return weights.state


def read_weights(path: Path) -> Weights:
    """The encoder in a file. Raises CheckpointError when it cannot be read without unpickling, or is cut short."""
    if path.suffix == ".safetensors":
        from core.export import load_tensors

        state, about = load_tensors(path), _about(path)
    else:
        state, about = _unwrapped(_read_torch(path)), {}
    state = {name.removeprefix("module."): value for name, value in state.items()}
    own = {name.removeprefix(ENCODER): value for name, value in state.items() if name.startswith(ENCODER)}
    return Weights(own or state, _scale(about), about.get("timm", {}).get("num_heads") or _heads(path))


def _about(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as opened:
        found: dict[str, Any] = json.loads((opened.metadata() or {}).get("viewpair", "{}"))
    return found


def _scale(about: dict[str, Any]) -> tuple[list[float], list[float]] | None:
    pixels = about.get("pixels")
    return ([pixels["mean"]], [pixels["std"]]) if pixels else None


def _heads(path: Path) -> int | None:
    """The attention heads of a trial's own weights or checkpoint, whose config lies beside it or one folder above."""
    for folder in path.parents[:2]:
        record = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
        if "result_config" in record:
            return int(record["result_config"]["model"]["heads"])
    return None


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its reader meets in a file that is cut or no torch file
        first = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"it cannot be read as plain tensors ({first})",
            "it is cut short, or holds objects, and nothing is unpickled here: give the weights as safetensors",
        ) from error


def _unwrapped(found: Any) -> dict[str, Tensor]:
    """The state dict in what a file holds."""
    while isinstance(found, dict) and (inside := [key for key in INSIDE if isinstance(found.get(key), dict)]):
        found = found[inside[0]]
    tensors = {k: v for k, v in found.items() if isinstance(v, Tensor)} if isinstance(found, dict) else {}
    if not tensors:
        raise CheckpointError("it holds no state dict", f"give a dict of tensors, plain or under {_listed(INSIDE)}")
    return tensors


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
