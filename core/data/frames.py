"""How large a film is, from its header alone."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def image_shape(path: Path) -> tuple[int, int]:
    """Height and width in px of a DICOM, PNG or JPEG file; (0, 0) where its header cannot be read."""
    picture = path.suffix.lower() in (".png", ".jpg", ".jpeg")
    try:
        return _picture_shape(path) if picture else _dicom_shape(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 0, 0


def _picture_shape(path: Path) -> tuple[int, int]:
    with Image.open(path, formats=("PNG", "JPEG")) as image:
        return image.height, image.width


def _dicom_shape(path: Path) -> tuple[int, int]:
    # Imported here: pydicom takes half a second of every process that only knows of this reader.
    from core.data.dicom import dicom_shape

    with path.open("rb") as file:
        return dicom_shape(file)
