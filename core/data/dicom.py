"""A DICOM film as it would stand on a screen: modality LUT, then VOI LUT or window, then inversion.

Only the tags below are parsed. A header holds names and dates, so nothing of it may reach a message: reasons
are words of this module, never the text of a library's error.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import get_decoder
from pydicom.uid import UID, AllTransferSyntaxes, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from core.data.types import Floats

MAX_PIXELS = 100_000_000
PERCENTILES = (0.5, 99.5)
TAGS = [
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
]

# pydicom logs values that break the rules of their type, a patient's birth date among them; its plugins repeat
# what becomes the reason in the quarantine table.
for library in ("pydicom", "pylibjpeg", "openjpeg", "libjpeg"):
    logging.getLogger(library).setLevel(logging.CRITICAL + 1)

Values = NDArray[np.float64]


class UnreadableImageError(ValueError):
    """An image file that holds no usable picture; the message is the reason for the quarantine table."""


def read_dicom(path: Path) -> Floats:
    """Pixels [H, W] float32 in [0, 1], 1 = bright, of a single-frame film.

    Order (PS3.3 C.11.1, C.11.2): modality LUT or rescale; the first VOI LUT, else the first window, else a
    stretch between the 0.5th and 99.5th percentile; inversion of MONOCHROME1. Compressed syntaxes go through
    pydicom's plugins; preamble and file meta may be absent. Raises UnreadableImageError.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(path, force=True, specific_tags=TAGS)
            _check_header(dataset)
            raw = _decode(dataset)
            values = modality(_single_channel(raw, dataset), dataset)
            shown = voi(values, dataset)
        except UnreadableImageError:
            raise
        except Exception as error:
            # Hostile bytes make pydicom and its plugins raise nearly anything; the class names no patient.
            raise UnreadableImageError(f"the DICOM file is damaged ({type(error).__name__})") from error
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown = 1.0 - shown
    return shown.astype(np.float32)


def _check_header(dataset: Any) -> None:
    if "PixelData" not in dataset or "Rows" not in dataset or "Columns" not in dataset:
        raise UnreadableImageError("no pixel data: not a DICOM image, or cut off before them")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise UnreadableImageError(f"{frames} frames where one film was expected")
    if int(dataset.Rows) * int(dataset.Columns) > MAX_PIXELS:
        raise UnreadableImageError(f"claims {dataset.Rows} x {dataset.Columns} pixels")


def _decode(dataset: Any) -> NDArray[Any]:
    if getattr(dataset, "file_meta", None) is None:
        dataset.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    syntax: UID = dataset.file_meta.TransferSyntaxUID
    if syntax not in AllTransferSyntaxes:
        raise UnreadableImageError("unknown transfer syntax")
    if syntax.is_encapsulated and not get_decoder(syntax).is_available:
        raise UnreadableImageError(f"no decoder for {syntax.name}: pip install 'viewpair[jpeg]'")
    if not syntax.is_encapsulated:
        samples = int(dataset.get("SamplesPerPixel", 1)) * int(dataset.Rows) * int(dataset.Columns)
        if len(dataset.PixelData) < samples * int(dataset.BitsAllocated) // 8:
            raise UnreadableImageError("the pixel data are cut short")
    pixels: NDArray[Any] = dataset.pixel_array
    return pixels


def _single_channel(raw: NDArray[Any], dataset: Any) -> Values:
    """Raw pixels [H, W] as float64; of a colour image its luminance."""
    kind = str(dataset.PhotometricInterpretation)
    if raw.ndim == 2 and kind in ("MONOCHROME1", "MONOCHROME2"):
        return raw.astype(np.float64)
    if raw.ndim == 3 and raw.shape[2] == 3 and kind == "RGB":
        return raw.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    if raw.ndim == 3 and raw.shape[2] == 3 and kind.startswith("YBR"):
        return raw[..., 0].astype(np.float64)
    raise UnreadableImageError("the photometric interpretation is no grey or RGB image's")


def modality(values: Values, dataset: Any) -> Values:
    """Values [H, W] after the modality LUT or rescale, where there is one (PS3.3 C.11.1)."""
    if dataset.get("ModalityLUTSequence"):
        return look_up(values, dataset.ModalityLUTSequence[0], dataset)[0]
    slope, intercept = _number(dataset.get("RescaleSlope")), _number(dataset.get("RescaleIntercept"))
    if np.isfinite(slope) and np.isfinite(intercept):
        return values * slope + intercept
    return values


def voi(values: Values, dataset: Any) -> Values:
    """Values in [0, 1] after the VOI LUT, the window, or the percentile stretch (PS3.3 C.11.2)."""
    if dataset.get("VOILUTSequence"):
        mapped, table = look_up(values, dataset.VOILUTSequence[0], dataset)
        return scale(mapped, float(table.min()), float(table.max()))
    centre, width = _number(dataset.get("WindowCenter")), _number(dataset.get("WindowWidth"))
    if np.isfinite(centre) and width > 0:
        shown = window(values, centre, width, str(dataset.get("VOILUTFunction") or "LINEAR"))
        # A window that leaves nothing to see was written by mistake.
        if np.ptp(shown) > 0:
            return shown
    return stretch(values)


def window(values: Values, centre: float, width: float, function: str) -> Values:
    """The window's output in [0, 1]: LINEAR, LINEAR_EXACT or SIGMOID (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    if function == "SIGMOID":
        exponent: Values = 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700, 700)))
        return exponent
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0.0, 1.0)
    return np.clip((values - (centre - 0.5)) / max(width - 1.0, 1e-6) + 0.5, 0.0, 1.0)


def stretch(values: Values) -> Values:
    """Values in [0, 1] between the 0.5th and the 99.5th percentile, or all of them where those are equal."""
    low, high = np.percentile(values, PERCENTILES)
    return scale(values, low, high) if high > low else scale(values, float(values.min()), float(values.max()))


def scale(values: Values, low: float, high: float) -> Values:
    """`values` mapped from [low, high] to [0, 1] and clipped; all 0 where low = high."""
    return np.clip((values - low) / (high - low), 0.0, 1.0) if high > low else np.zeros_like(values)


def look_up(values: Values, item: Any, dataset: Any) -> tuple[Values, Values]:
    """Values through a LUT item, and the table itself [n] (PS3.3 C.11.1.1).

    pydicom's own functions hold the index in the type of the output, so that a table of 1,024 entries of 8
    bits wraps around; here the index is a wide integer.
    """
    count, first, _ = (int(number) for number in item.LUTDescriptor)
    count = count or 2**16
    # The sign of the first value follows the pixels', but the field is often written as unsigned.
    if int(dataset.get("PixelRepresentation", 0)) and first >= 2**15:
        first -= 2**16
    table = _table(item.LUTData, count, dataset)
    index = np.clip(np.rint(values).astype(np.int64) - first, 0, len(table) - 1)
    return table[index], table


def _table(data: Any, count: int, dataset: Any) -> Values:
    if not isinstance(data, bytes):
        return np.asarray(data, dtype=np.float64)[:count]
    if len(data) < 2 * count:
        return np.frombuffer(data, dtype=np.uint8)[:count].astype(np.float64)
    little = dataset.file_meta.TransferSyntaxUID.is_little_endian
    order = "<" if little else ">"
    return np.frombuffer(data, dtype=f"{order}u2")[:count].astype(np.float64)


def _number(value: Any) -> float:
    """The first number of a tag that may be absent, blank, several or no number (then NaN)."""
    if value is None or isinstance(value, str | bytes):
        first: Any = value
    else:
        first = value[0] if hasattr(value, "__len__") and len(value) else value
    try:
        return float(first)
    except (TypeError, ValueError):
        return float("nan")
