"""Where findings are: boxes and masks of a data set, in one table, `source/regions.parquet` of its folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.types import Bools
from core.io import atomic_path

LOG = logging.getLogger(__name__)
REGIONS = "regions.parquet"
CORNERS = ("x0", "y0", "x1", "y1")
TEXTS = ("image_id", "label", "label_raw", "reader")
# label_raw: the data set's own word. reader: who drew it, "consensus", or "" where that is not known. x0, y0, x1, y1:
# px from the left and the top, in a frame of height x width px (0 = not known). counts: a mask as run lengths.
COLUMNS = ("image_id", "label", "label_raw", "reader", "x0", "y0", "x1", "y1", "height", "width", "counts")
KINDS = dict.fromkeys(TEXTS, "str") | dict.fromkeys(CORNERS, "float64") | dict.fromkeys(("height", "width"), "int64")
DEFAULTS: dict[str, Any] = {"label_raw": "", "reader": "", "height": 0, "width": 0, "counts": None}


def regions(boxes: pd.DataFrame, **constant: Any) -> pd.DataFrame:
    """A table with COLUMNS: those of `boxes`, `constant` values, and what is empty by default.

    Boxes without an area are left out with a warning: they mark nothing.
    """
    table = boxes.copy()
    for name, value in (DEFAULTS | constant).items():
        if name not in table:
            table[name] = value
    table = table[list(COLUMNS)].astype(KINDS)
    fit = (table["x1"] > table["x0"]) & (table["y1"] > table["y0"])
    if not fit.all():
        LOG.warning(
            "%d boxes without an area are left out, the first is of image %s",
            (~fit).sum(),
            table["image_id"][~fit].iloc[0],
        )
    return table[fit].reset_index(drop=True)


def no_regions() -> pd.DataFrame:
    """A table of no regions."""
    return regions(pd.DataFrame({name: [] for name in COLUMNS}))


def write_regions(table: pd.DataFrame, folder: Path) -> None:
    """Write a table of regions into `folder`, atomically."""
    with atomic_path(folder / REGIONS) as temporary:
        table.to_parquet(temporary, index=False)


def read_regions(folder: Path) -> pd.DataFrame:
    """The regions of a built data set's folder; an empty table where it has none."""
    path = folder / "source" / REGIONS
    return pd.read_parquet(path) if path.is_file() else no_regions()


def encode(mask: Bools) -> list[int]:
    """Run lengths of a mask [H, W], column after column, background first (COCO's uncompressed form)."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [not mask[-1, -1]]])
    ends = np.flatnonzero(np.diff(flat))
    lengths = np.diff(np.concatenate([[0], ends])).tolist()
    return [int(n) for n in lengths]


def decode(counts: Sequence[int], height: int, width: int) -> Bools:
    """The mask [H, W] of run lengths as `encode` writes them; what they leave out at the end is background.

    Raises ValueError for a length below zero or runs beyond the frame.
    """
    lengths = np.asarray(counts, dtype=np.int64)
    if (lengths < 0).any() or lengths.sum() > height * width:
        raise ValueError(f"run lengths do not fit {height} x {width} pixels")
    values = np.arange(len(lengths)) % 2 == 1
    flat = np.zeros(height * width, dtype=bool)
    flat[: lengths.sum()] = np.repeat(values, lengths)
    return flat.reshape((height, width), order="F")


def box_of(mask: Bools) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the smallest box around a mask [H, W] that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def square_boxes(boxes: NDArray[np.float64], frame: tuple[int, int], size: int, resize: str) -> NDArray[np.float64]:
    """Boxes [N, 4] of x0, y0, x1, y1 where they lie in the picture that `pixels.square` makes of a film.

    frame: the film's height and width, px. size, resize: as for `pixels.square`. What is cropped away is cut off.
    """
    height, width = frame
    if resize == "stretch":
        scale, offset = np.array([size / width, size / height]), np.zeros(2)
    else:
        side = max(height, width) if resize == "pad" else min(height, width)
        scale = np.full(2, size / side)
        offset = (size - scale * [width, height]) / 2
        if resize == "pad":  # `pixels.square` pads by whole pixels
            shape = np.maximum(1, np.round([size * width / side, size * height / side]))
            scale, offset = shape / [width, height], (size - shape) // 2
    return np.clip(boxes * np.tile(scale, 2) + np.tile(offset, 2), 0, size)
