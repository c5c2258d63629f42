"""MAE (He et al. 2021), the unstructured baseline: MVMAE's code path with a pairing that forms no pairs."""

from __future__ import annotations

from dataclasses import dataclass

from core.config import setting
from core.methods.base import METHODS
from core.methods.mvmae import MVMAE, MVMAEConfig


@dataclass
class MAEConfig(MVMAEConfig):
    """He et al.'s settings where they differ from MVMAE's."""

    name: str = setting("mae", "method")
    weight: float = setting(0.0, "alignment weight; MAE has none")
    normalise_target: bool = setting(True, "normalise the pixels of each target patch")


@METHODS.register(
    "mae", config=MAEConfig, source="He et al. 2021, arXiv 2111.06377", overrides={"pairing": "none", "optim": "mae"}
)
class MAE(MVMAE):
    """Masked autoencoder: one image at a time, no alignment term."""
