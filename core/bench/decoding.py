"""Files only decoded, and decoded and shrunk, by their libraries alone.

With no other imports: a process that does it is ready as soon as one that builds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from PIL import Image


def decoded(path: Path) -> None:
    """Decode a file, and no more."""
    as_array(path)


def shrunk(path: Path, size: int) -> None:
    """Decode a file and shrink it with Pillow, as a plain builder would."""
    film = as_array(path)
    image = Image.fromarray(film if film.dtype == np.uint8 else film.astype(np.float32))
    image.resize((size, size), Image.Resampling.BILINEAR)


def as_array(path: Path) -> np.ndarray:
    """The pixels [H, W] of a file, by its library alone."""
    with path.open("rb") as handle:
        is_dicom = handle.read(132)[128:] == b"DICM"
    if is_dicom:
        return pydicom.dcmread(path).pixel_array
    with Image.open(path) as image:
        return np.asarray(image)
