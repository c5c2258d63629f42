"""A DICOM film as it would stand on a screen: modality LUT, then VOI LUT or window, then inversion.

Only the tags below are parsed. A header holds names and dates, so nothing of it may reach a message: reasons
and notes are words of this project, never the text of a library's error or of a tag.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO, cast

import numpy as np
import pydicom
from pydicom.tag import Tag

from core.data.grey import MIMIC_CXR_JPG, TONES, mimic_cxr_jpg, modality
from core.data.levels import Levels
from core.data.stored import OVERLAY_BIT_POSITIONS, not_padding, stored_values
from core.data.types import MAX_PIXELS, Film, UnreadableImageError

MAX_BYTES = 16 * MAX_PIXELS
NAMES = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "PixelData",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
)
TAGS: list[Any] = [*map(Tag, NAMES), *OVERLAY_BIT_POSITIONS]

# pydicom logs values that break the rules of their type, a patient's birth date among them; its plugins repeat
# what becomes the reason in the quarantine table.
for library in ("pydicom", "pylibjpeg", "openjpeg", "libjpeg"):
    logging.getLogger(library).setLevel(logging.CRITICAL + 1)


def read_dicom(file: BinaryIO, tone: str = "voi") -> Film:
    """A single-frame film, bright is high, and what is odd about the file, which is open at its beginning.

    Order (PS3.3 C.11.1, C.11.2): modality LUT or rescale; what `tone` says (see core/data/grey); inversion of
    MONOCHROME1; padding to black. A colour image is its luminance and has no tone but `mimic_cxr_jpg`. Compressed
    syntaxes go through pydicom's plugins; preamble and file meta may be absent. Raises UnreadableImageError.
    """
    notes: list[str] = []
    with _damage_is_told():
        header = _parse(file)
        _check_header(header)
        shown = _shown(header, tone, notes)
    return replace(shown, notes=tuple(notes), inverted=str(header.PhotometricInterpretation) == "MONOCHROME1")


def dicom_shape(file: BinaryIO) -> tuple[int, int]:
    """Height and width in px, from the header of a file that is open at its beginning. Raises UnreadableImageError."""
    with _damage_is_told():
        header = _parse(file, stop_before_pixels=True)
        return int(header.Rows), int(header.Columns)


@contextlib.contextmanager
def _damage_is_told() -> Iterator[None]:
    """Hostile bytes make pydicom and its plugins raise nearly anything; the class of the error names no patient."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except UnreadableImageError:
            raise
        except Exception as error:
            raise UnreadableImageError(f"the DICOM file is damaged ({type(error).__name__})") from error


def _shown(header: Any, tone: str, notes: list[str]) -> Film:
    stored = stored_values(header, notes)
    inverted = str(header.PhotometricInterpretation) == "MONOCHROME1"
    if tone != MIMIC_CXR_JPG and not isinstance(stored, Levels):
        return Film((stored / (2.0 ** int(header.BitsStored) - 1)).astype(np.float32))
    levels = stored if isinstance(stored, Levels) else Levels.of(stored)
    if tone == MIMIC_CXR_JPG:
        return levels.film(mimic_cxr_jpg(levels.values, levels.counts, inverted))
    inside = not_padding(levels.values, header)
    shown = TONES[tone](modality(levels.values, header), levels, header, inside)
    return levels.film(np.where(inside, 1.0 - shown if inverted else shown, 0.0))


class DeflatedError(Exception):
    """All that is left of a file is deflated."""


class _Parts:
    """A file as pydicom reads it, in parts of a known size.

    It asks for all that is left where that is deflated, and nowhere else, to inflate it whatever it becomes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.tell, self.seek = file, file.tell, file.seek

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            raise DeflatedError
        return self._file.read(size)


def _parse(file: BinaryIO, **until: bool) -> Any:
    """The tags of TAGS, `until` as for pydicom. A deflated file is inflated here, as far as a film may be large."""
    if file.seek(0, io.SEEK_END) > MAX_BYTES:
        raise UnreadableImageError("larger than any film")
    file.seek(0)
    try:
        return _tags(file, **until)
    except DeflatedError:
        return _tags(io.BytesIO(_inflated(file.read())), **until)


def _tags(file: BinaryIO, **until: bool) -> Any:
    return pydicom.dcmread(cast(BinaryIO, _Parts(file)), force=True, specific_tags=TAGS, **until)


def _inflated(content: bytes) -> bytes:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflate.decompress(content, MAX_BYTES)
    if inflate.unconsumed_tail:
        raise UnreadableImageError("inflates to more than any film")
    return plain


def _check_header(header: Any) -> None:
    if "PixelData" not in header or "Rows" not in header or "Columns" not in header:
        raise UnreadableImageError("no pixel data: not a DICOM image, or cut off before them")
    frames = int(header.get("NumberOfFrames") or 1)
    if frames != 1:
        raise UnreadableImageError(f"{frames} frames where one film was expected")
    if int(header.Rows) * int(header.Columns) > MAX_PIXELS:
        raise UnreadableImageError(f"claims {int(header.Rows)} x {int(header.Columns)} pixels")
