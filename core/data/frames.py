"""How large a film is, from its header alone."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def image_shape(path: Path) -> tuple[int, int]:
    """Height and width in px of a DICOM, PNG or JPEG file; (0, 0) where its header cannot be read."""
    picture = path.suffix.lower() in (".png", ".jpg", ".jpeg")
    try:
        return _picture_shape(path) if picture else _dicom_shape(path)
    except (OSError, ValueError, AttributeError, TypeError, SyntaxError, Image.DecompressionBombError):
        return 0, 0


def _picture_shape(path: Path) -> tuple[int, int]:
    with Image.open(path, formats=("PNG", "JPEG")) as image:
        return image.height, image.width


def _dicom_shape(path: Path) -> tuple[int, int]:
    # Imported here: pydicom takes a quarter of a second of every process that only knows of this reader.
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
    except InvalidDicomError:
        return 0, 0
    return int(header.Rows), int(header.Columns)
