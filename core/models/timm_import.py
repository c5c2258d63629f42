"""Importing timm where torchvision was built for another torch.

The package index's torchvision is linked to CUDA. Beside a CPU-only torch its import fails on an operator
that only its compiled library declares. Declaring the operator's schema is enough for everything that
viewpair uses of it; with matching builds nothing here happens.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any

import torch

_KEEP_ALIVE: list[torch.library.Library] = []


def _declare_missing_operators() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEEP_ALIVE.append(library)


@functools.cache
def import_timm() -> Any:
    """The timm module; declares torchvision's missing operators first where that is what stands in the way."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        _declare_missing_operators()
        importlib.import_module("torchvision")
    return importlib.import_module("timm")
