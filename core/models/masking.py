"""Random masks, all images of a batch in one operation on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import check_range, require


def visible_patches(patches: int, mask_ratio: float) -> int:
    """K = int(T * (1 - ratio)), the MVMAE code's rounding. Raises ConfigError when nothing would be left."""
    check_range("method.mask_ratio", mask_ratio, 0, 1, open_low=True, open_high=True)
    # 16 * (1 - 0.75) is exact, 10 * (1 - 0.9) is 0.999...: the slack keeps the intended count.
    visible = int(patches * (1 - mask_ratio) + 1e-9)
    require(
        0 < visible < patches,
        f"method.mask_ratio={mask_ratio} leaves {visible} of {patches} patches visible",
        "choose a ratio that leaves at least one patch visible and hides at least one",
    )
    return visible


def painted_patches(hidden: int, predict_ratio: float) -> int:
    """How many of `hidden` patches are painted. Raises ConfigError when none would be."""
    painted = int(hidden * predict_ratio + 1e-9)
    require(
        painted > 0,
        f"method.predict_ratio={predict_ratio} paints none of {hidden} hidden patches",
        "choose a ratio that leaves at least one",
    )
    return painted


def random_masks(
    slot: Tensor, slots: int, patches: int, visible: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Independent random masks of N images.

    slot: [N] int64 place of each image in a grid of `slots`; the noise is drawn for the whole grid so that
    a mask does not depend on which process holds the image. Returns keep [N, visible] and hidden
    [N, patches - visible], int64 patch indices in random order.
    """
    noise = torch.rand(slots, patches, device=slot.device, generator=generator)[slot]
    order = noise.argsort(dim=1)
    return order[:, :visible], order[:, visible:]
