"""Any image file to the square uint8 picture that shards hold."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.data.borders import without_borders
from core.data.grey import picture_film
from core.data.polarity import looks_inverted
from core.data.resize import resized
from core.data.types import MAX_PIXELS, Bytes, Film, Shades, UnreadableImageError, white

# Pillow logs what stands in a JPEG's EXIF, a name or a date among it.
logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)

# What Pillow's modes hold that numpy can read where they lie.
IN_PLACE = {"L": np.uint8, "I;16": np.uint16}
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True)
class Rendering:
    """How a file becomes the picture of a shard.

    size: side, px. resize: pad | crop | stretch. tone: see core/data/grey. borders: keep | crop (black ones).
    """

    size: int
    resize: str
    tone: str = "voi"
    borders: str = "keep"


@dataclass(frozen=True)
class Picture:
    """A shard's picture: pixels uint8 [size, size], and what a person should know of the file."""

    pixels: Bytes
    notes: tuple[str, ...]


def load_picture(path: Path, rendering: Rendering, inverted: bool = False) -> Picture:
    """The picture of a PNG, JPEG or DICOM file.

    inverted: a table says of a PNG or JPEG that it shows dark what is bright. What is padded stays black.
    Raises UnreadableImageError with a reason that names no path and no header value.
    """
    film = read_film(path, rendering.tone)
    if inverted:
        film = film.negative
    inside = without_borders(film) if rendering.borders == "crop" else film
    squared = square(inside, rendering.size, rendering.resize)
    return Picture(in_bytes(squared), film.notes + _polarity_note(film))


def _polarity_note(film: Film) -> tuple[str, ...]:
    if not looks_inverted(film):
        return ()
    return ("looks inverted: the tag MONOCHROME1 may lie" if film.inverted else "looks inverted",)


def load_pixels(path: Path, size: int, resize: str, inverted: bool = False) -> Bytes:
    """uint8 [size, size] of a PNG, JPEG or DICOM file, squared by `resize`, else as `Rendering` has it by default."""
    return load_picture(path, Rendering(size, resize), inverted).pixels


def read_film(path: Path, tone: str = "voi") -> Film:
    """A film as it stands in the file. The kind of file is told by its first bytes. Raises UnreadableImageError."""
    try:
        # Opened once: what metadata servers are asked for is what many small files wait for.
        with path.open("rb") as file:
            head = file.read(132)
            file.seek(0)
            return _read(file, head, path.suffix.lower(), tone)
    except OSError as error:
        raise UnreadableImageError(f"the file cannot be opened or read ({type(error).__name__})") from error


def _read(file: BinaryIO, head: bytes, suffix: str, tone: str) -> Film:
    if not head:
        raise UnreadableImageError("the file is empty")
    if head.startswith(b"\x89PNG\r\n\x1a\n") or head.startswith(b"\xff\xd8\xff"):
        return _read_picture(file, tone)
    if head[128:] == b"DICM" or suffix in DICOM_SUFFIXES:
        # Imported here: pydicom takes half a second, which most processes have no film to spend on.
        from core.data.dicom import read_dicom

        return read_dicom(file, tone)
    raise UnreadableImageError("neither PNG, JPEG nor DICOM")


def _read_picture(file: BinaryIO, tone: str) -> Film:
    """A PNG or JPEG: with `voi`, 8 bits as they are and 16 bits stretched like a DICOM without a window."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file, formats=("PNG", "JPEG")) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadableImageError(f"claims {height} x {width} pixels")
            deep = image.mode.startswith(("I", "F"))
            pixels = values(image if deep or image.mode == "L" else image.convert("L"))
    except Image.DecompressionBombError as error:
        raise UnreadableImageError("claims more pixels than any film has") from error
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        if isinstance(error, UnreadableImageError):
            raise
        raise UnreadableImageError(f"the picture is cut short or damaged ({type(error).__name__})") from error
    return picture_film(pixels, deep, tone)


def values(image: Image.Image) -> NDArray[Any]:
    """The pixels [H, W] of a picture of one channel, where they lie if they are in one piece: a copy is one pass more.

    pyarrow takes them from Pillow by Arrow's interface in C; numpy's own way always copies.
    """
    import pyarrow

    if image.mode not in IN_PLACE:
        return np.asarray(image)
    width, height = image.size
    try:
        flat = pyarrow.array(image).to_numpy(zero_copy_only=True)
    except ValueError:
        # Of more than 16 MiB, which Pillow keeps in several pieces.
        return np.asarray(image)
    # Pillow calls words of 16 bits signed there, which they are not.
    return flat.view(IN_PLACE[image.mode]).reshape(height, width)


def in_bytes(shades: Shades) -> Bytes:
    """The same grey as bytes, of which 255 is white."""
    scaled = shades if white(shades) == 255 else np.rint(shades * 255.0)
    return scaled.astype(np.uint8, copy=False)


def square(film: Film, size: int, resize: str) -> Shades:
    """Grey [size, size] of a film, in the type of its grey, antialiased.

    resize: pad (whole image, black borders) | crop (central square) | stretch (aspect ratio lost).
    """
    height, width = film.shape
    if resize == "pad":
        longest = max(height, width)
        shape = max(1, round(size * height / longest)), max(1, round(size * width / longest))
        shown = resized(film, shape, (0, 0, height, width))
        canvas = np.zeros((size, size), dtype=shown.dtype)
        top, left = (size - shape[0]) // 2, (size - shape[1]) // 2
        canvas[top : top + shape[0], left : left + shape[1]] = shown
        return canvas
    side = min(height, width)
    above, beside = (height - side) / 2, (width - side) / 2
    box = (above, beside, above + side, beside + side) if resize == "crop" else (0, 0, height, width)
    return resized(film, (size, size), box)
