"""How large a film is, from its header alone."""

from __future__ import annotations

from pathlib import Path

import pydicom
from PIL import Image
from pydicom.errors import InvalidDicomError


def image_shape(path: Path) -> tuple[int, int]:
    """Height and width in px of a DICOM, PNG or JPEG file; (0, 0) where its header cannot be read."""
    try:
        if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                return image.height, image.width
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
        return int(header.Rows), int(header.Columns)
    except (
        OSError,
        ValueError,
        AttributeError,
        TypeError,
        InvalidDicomError,
        SyntaxError,
        Image.DecompressionBombError,
    ):
        return 0, 0
