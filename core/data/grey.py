"""From values to grey: modality LUT, VOI LUT or window, and the tones that `data.tone` chooses from.

A tone maps the values [n] of a film's levels to [0, 1] before MONOCHROME1 is inverted. Those that a header declares as
padding are not `inside`, and left out of every minimum, maximum and percentile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.levels import Levels, Values, percentiles
from core.data.types import Bools, Film, Ints

PERCENTILES = (0.5, 99.5)
MIMIC_CXR_JPG = "mimic_cxr_jpg"


def modality(values: Values, header: Any) -> Values:
    """Values [n] after the modality LUT or rescale, where there is one (PS3.3 C.11.1)."""
    if header.get("ModalityLUTSequence"):
        return look_up(values, header.ModalityLUTSequence[0], header)[0]
    slope, intercept = (number(header.get(name)) for name in ("RescaleSlope", "RescaleIntercept"))
    # A slope of 0 would make every film black; it stands in headers that were never filled in.
    if np.isfinite(slope) and np.isfinite(intercept) and slope != 0:
        return values * slope + intercept
    return values


def voi(values: Values, levels: Levels, header: Any, inside: Bools) -> Values:
    """The first VOI LUT, else the first window that shows anything, else percentiles (PS3.3 C.11.2)."""
    if header.get("VOILUTSequence"):
        mapped, table = look_up(values, header.VOILUTSequence[0], header)
        return scale(mapped, 0.0, float(2 ** bits_of(table) - 1))
    function = str(header.get("VOILUTFunction") or "LINEAR").upper()
    for centre, width in windows(header):
        shown = window(values, centre, width, function)
        # A window that leaves nothing to see was written by mistake.
        if levels.differ(shown, inside):
            return shown
    return stretch(values, levels, inside)


def windows(header: Any) -> list[tuple[float, float]]:
    """(centre, width) of the header's windows in their order; those that are no numbers or have no width are left out.

    Two lists of different lengths are read as far as the shorter goes.
    """
    pairs = zip(numbers(header.get("WindowCenter")), numbers(header.get("WindowWidth")), strict=False)
    return [(centre, width) for centre, width in pairs if np.isfinite(centre) and np.isfinite(width) and width > 0]


def window(values: Values, centre: float, width: float, function: str) -> Values:
    """The window's output in [0, 1]: LINEAR, LINEAR_EXACT or SIGMOID (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    if function == "SIGMOID":
        exponent: Values = 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700, 700)))
        return exponent
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0.0, 1.0)
    return np.clip((values - (centre - 0.5)) / max(width - 1.0, 1e-6) + 0.5, 0.0, 1.0)


def stretch(values: Values, levels: Levels, inside: Bools) -> Values:
    """Values in [0, 1] between the 0.5th and the 99.5th percentile, or all of them where those are equal."""
    low, high = percentiles(values[inside], levels.counts[inside], PERCENTILES)
    return scale(values, low, high) if high > low else min_max(values, levels, inside)


def min_max(values: Values, levels: Levels, inside: Bools) -> Values:
    """Values in [0, 1] between the least and the greatest that occur."""
    occur = values[levels.present & inside]
    return scale(values, float(occur.min()), float(occur.max()))


def scale(values: Values, low: float, high: float) -> Values:
    """`values` mapped from [low, high] to [0, 1] and clipped; all 0 where low = high."""
    return np.clip((values - low) / (high - low), 0.0, 1.0) if high > low else np.zeros_like(values)


# Tones of DICOM films; each takes values after the modality LUT, the levels that they are of, the header, and which of
# the values are no padding.
TONES: dict[str, Callable[[Values, Levels, Any, Bools], Values]] = {
    "voi": voi,
    "percentiles": lambda values, levels, _, inside: stretch(values, levels, inside),
    "minmax": lambda values, levels, _, inside: min_max(values, levels, inside),
}


def mimic_cxr_jpg(stored: Values, counts: Ints, inverted: bool) -> Values:
    """Grey in [0, 1] as the files of MIMIC-CXR-JPG, but for their JPEG compression (quality 95).

    Stored values [n], before any LUT, are stretched from their least to their greatest over 0 to 255 and truncated,
    inverted where the header says MONOCHROME1, and their histogram is equalised (Johnson et al. 2019,
    arXiv 1901.07042, section "Methods", with OpenCV's equalizeHist).
    """
    pixels = (scale(stored, float(stored.min()), float(stored.max())) * 255.0).astype(np.uint8)
    return equalise(255 - pixels if inverted else pixels, counts).astype(np.float64) / 255.0


def equalise(values: NDArray[np.uint8], occurrences: Ints) -> NDArray[np.uint8]:
    """uint8 [n] for values [n] that occur so often: their cumulative histogram is as near a ramp as a table makes it.

    The least value present becomes 0 and the greatest 255; rounding is that of OpenCV's equalizeHist (float32
    products, halves to even). A picture of one value stays as it is.
    """
    # in float64, which holds every count exactly
    counts = np.bincount(values, weights=occurrences, minlength=256).astype(np.int64)
    first = int(np.flatnonzero(counts)[0])
    rest = int(counts.sum() - counts[first])
    if rest == 0:
        return values
    above = np.cumsum(counts) - counts[: first + 1].sum()
    table = np.rint(above.astype(np.float32) * np.float32(np.float32(255) / np.float32(rest)))
    return np.clip(table, 0, 255).astype(np.uint8)[values]


def look_up(values: Values, item: Any, header: Any) -> tuple[Values, Values]:
    """Values through a LUT item, and the table itself [n] (PS3.3 C.11.1.1).

    pydicom's own functions hold the index in the type of the output, so that a table of 1,024 entries of 8
    bits wraps around; here the index is a wide integer.
    """
    count, first, _ = (int(entry) for entry in item.LUTDescriptor)
    count = count or 2**16
    # The sign of the first value follows the pixels', but the field is often written as unsigned.
    if int(header.get("PixelRepresentation", 0)) and first >= 2**15:
        first -= 2**16
    table = _table(item.LUTData, count, header)
    index = np.clip(np.rint(values).astype(np.int64) - first, 0, len(table) - 1)
    return table[index], table


def _table(data: Any, count: int, header: Any) -> Values:
    if not isinstance(data, bytes):
        return np.asarray(data, dtype=np.float64)[:count]
    if len(data) < 2 * count:
        return np.frombuffer(data, dtype=np.uint8)[:count].astype(np.float64)
    order = "<" if header.file_meta.TransferSyntaxUID.is_little_endian else ">"
    return np.frombuffer(data, dtype=f"{order}u2")[:count].astype(np.float64)


def bits_of(table: Values) -> int:
    """Bits that a VOI LUT's output has, at least 8. The descriptor says so too, but often says 16 of any table."""
    return max(8, int(table.max()).bit_length())


def numbers(value: Any) -> list[float]:
    """The numbers of a tag that may be absent, blank, one, several, or no number (then NaN)."""
    if value is None:
        return []
    several = hasattr(value, "__len__") and not isinstance(value, str | bytes)
    return [_number(entry) for entry in (value if several else [value])]


def number(value: Any) -> float:
    """The first number of a tag, NaN where it has none."""
    return next(iter(numbers(value)), float("nan"))


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def picture_film(pixels: NDArray[Any], deep: bool, tone: str) -> Film:
    """The film of a PNG's or JPEG's values [H, W]: with `voi`, 8 bits as they are and 16 bits by percentiles."""
    if tone == "voi" and not deep:
        return Film(pixels)
    levels = Levels.of(pixels)
    if tone == MIMIC_CXR_JPG:
        return levels.film(mimic_cxr_jpg(levels.values, levels.counts, inverted=False))
    return levels.film(TONES[tone](levels.values, levels, {}, np.ones(len(levels.values), dtype=bool)))
