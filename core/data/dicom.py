"""A DICOM film as it would stand on a screen: modality LUT, then VOI LUT or window, then inversion.

Only the tags below are parsed. A header holds names and dates, so nothing of it may reach a message: reasons
and notes are words of this project, never the text of a library's error or of a tag.
"""

from __future__ import annotations

import io
import logging
import warnings
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from core.data.grey import MIMIC_CXR_JPG, TONES, mimic_cxr_jpg, modality
from core.data.levels import Levels
from core.data.stored import OVERLAY_BIT_POSITIONS, not_padding, stored_values
from core.data.types import MAX_PIXELS, Film, UnreadableImageError

MAX_BYTES = 16 * MAX_PIXELS
TAGS: list[Any] = [
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
    *OVERLAY_BIT_POSITIONS,
]

# pydicom logs values that break the rules of their type, a patient's birth date among them; its plugins repeat
# what becomes the reason in the quarantine table.
for library in ("pydicom", "pylibjpeg", "openjpeg", "libjpeg"):
    logging.getLogger(library).setLevel(logging.CRITICAL + 1)


def read_dicom(path: Path, tone: str = "voi") -> Film:
    """A single-frame film, bright is high, and what is odd about the file.

    Order (PS3.3 C.11.1, C.11.2): modality LUT or rescale; what `tone` says (see core/data/grey); inversion of
    MONOCHROME1; padding to black. A colour image is its luminance and has no tone but `mimic_cxr_jpg`. Compressed
    syntaxes go through pydicom's plugins; preamble and file meta may be absent. Raises UnreadableImageError.
    """
    notes: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            header = _parse(path)
            _check_header(header)
            shown = _shown(header, tone, notes)
        except UnreadableImageError:
            raise
        except Exception as error:
            # Hostile bytes make pydicom and its plugins raise nearly anything; the class names no patient.
            raise UnreadableImageError(f"the DICOM file is damaged ({type(error).__name__})") from error
    return replace(shown, notes=tuple(notes), inverted=str(header.PhotometricInterpretation) == "MONOCHROME1")


def _shown(header: Any, tone: str, notes: list[str]) -> Film:
    stored = stored_values(header, notes)
    kind = str(header.PhotometricInterpretation)
    inverted = kind == "MONOCHROME1"
    if tone != MIMIC_CXR_JPG and not kind.startswith("MONOCHROME"):
        return Film((stored / (2.0 ** int(header.BitsStored) - 1)).astype(np.float32))
    levels = Levels.of(stored)
    if tone == MIMIC_CXR_JPG:
        return levels.film(mimic_cxr_jpg(levels.values, levels.counts, inverted))
    inside = not_padding(levels.values, header)
    shown = TONES[tone](modality(levels.values, header), levels, header, inside)
    return levels.film(np.where(inside, 1.0 - shown if inverted else shown, 0.0))


def _parse(path: Path) -> Any:
    """The tags of TAGS. A deflated file is inflated here, as far as a film may be large."""
    if path.stat().st_size > MAX_BYTES:
        raise UnreadableImageError("larger than any film")
    if not _deflated(path):
        return pydicom.dcmread(path, force=True, specific_tags=TAGS)
    content = path.read_bytes()
    # Preamble, "DICM", the group length's own element (12 bytes), and the group.
    begins = 132 + 12 + int(read_file_meta_info(path).FileMetaInformationGroupLength)
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflate.decompress(content[begins:], MAX_BYTES)
    if inflate.unconsumed_tail:
        raise UnreadableImageError("inflates to more than any film")
    return pydicom.dcmread(io.BytesIO(plain), force=True, specific_tags=TAGS)


def _deflated(path: Path) -> bool:
    with path.open("rb") as handle:
        if handle.read(132)[128:] != b"DICM":
            return False
    return read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian


def _check_header(header: Any) -> None:
    if "PixelData" not in header or "Rows" not in header or "Columns" not in header:
        raise UnreadableImageError("no pixel data: not a DICOM image, or cut off before them")
    frames = int(header.get("NumberOfFrames") or 1)
    if frames != 1:
        raise UnreadableImageError(f"{frames} frames where one film was expected")
    if int(header.Rows) * int(header.Columns) > MAX_PIXELS:
        raise UnreadableImageError(f"claims {int(header.Rows)} x {int(header.Columns)} pixels")
