"""The values that a DICOM file stores: decoded, with the right bits and sign, of one channel; and which are padding."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import get_decoder
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    AllTransferSyntaxes,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from core.data.codestream import check_codestream
from core.data.grey import number
from core.data.levels import Levels, Values
from core.data.types import Bools, UnreadableImageError

LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as PS3.3 C.7.6.3.1.2
# In old files a plane of the overlay lies in a bit of the pixels that is not stored (PS3.3 C.9.2, retired).
OVERLAY_BIT_POSITIONS = [Tag(group, 0x0102) for group in range(0x6000, 0x6020, 2)]


def stored_values(header: Any, notes: list[str]) -> Levels | Values:
    """The levels of a grey image's stored values, or a colour image's luminance [H, W]; adds to `notes` what is odd.

    Raises UnreadableImageError.
    """
    syntax = transfer_syntax(header)
    if not syntax.is_encapsulated:
        _check_length(header)
    else:
        check_codestream(header)
    # pydicom would cut off the bits above Bits Stored even where that tag is wrong; `_used_bits` looks first.
    options: dict[str, Any] = {"raw": True, "correct_unused_bits": False, "view_only": True}
    raw, properties = get_decoder(syntax).as_array(header, index=0, **options)
    as_words = not syntax.is_encapsulated or syntax == RLELossless
    kind = str(properties["photometric_interpretation"])
    if raw.ndim == 2 and kind in ("MONOCHROME1", "MONOCHROME2"):
        levels = Levels.of(raw)
        used = _used_bits(raw, levels.values[-1], header, notes) if as_words else raw
        return levels if used is raw else Levels.of(used)
    return _luminance(_used_bits(raw, raw.max(), header, notes) if as_words else raw, kind)


def transfer_syntax(header: Any) -> UID:
    """The file's transfer syntax, from how it was parsed where the file does not say, written into its meta."""
    if getattr(header, "file_meta", None) is None:
        header.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in header.file_meta:
        implicit, little = header.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    syntax: UID = header.file_meta.TransferSyntaxUID
    if syntax not in AllTransferSyntaxes:
        raise UnreadableImageError("unknown transfer syntax")
    if syntax.is_encapsulated and not get_decoder(syntax).is_available:
        raise UnreadableImageError(f"no decoder for {syntax.name}: pip install 'viewpair[jpeg]'")
    return syntax


def _check_length(header: Any) -> None:
    samples = int(header.get("SamplesPerPixel", 1)) * int(header.Rows) * int(header.Columns)
    if header.get("PhotometricInterpretation") == "YBR_FULL_422":
        samples = samples * 2 // 3
    if len(header.PixelData) < samples * int(header.BitsAllocated) // 8:
        raise UnreadableImageError("the pixel data are cut short")


def _used_bits(raw: NDArray[Any], greatest: float, header: Any, notes: list[str]) -> NDArray[Any]:
    """Raw words, of which the greatest is known, as what Bits Stored, High Bit and Pixel Representation make of them.

    Values that need more bits than Bits Stored are kept as they are and noted, unless an overlay is declared to lie
    in those bits: cutting them off would fold bright tissue over to black.
    """
    allocated = 8 * raw.dtype.itemsize
    stored = int(header.get("BitsStored") or allocated)
    shift = int(header.get("HighBit", stored - 1)) + 1 - stored
    signed = bool(int(header.PixelRepresentation))
    if shift <= 0 and (stored >= allocated or (not signed and greatest < 2**stored)):
        return raw
    words = raw.astype(np.int64) & (2**allocated - 1)
    if shift > 0 and stored + shift <= allocated:
        words >>= shift
        allocated -= shift
    if stored >= allocated:
        return _signed(words, allocated) if signed else words
    low = words & (2**stored - 1)
    if not signed:
        faithful, honest = words, low
    else:
        faithful, honest = _signed(words, allocated), _signed(low, stored)
    # Signed numbers may stand with their sign extended over the unused bits, or with zeros there.
    if np.array_equal(faithful, honest) or np.array_equal(words, low) or _overlay_in_pixels(header):
        return honest
    notes.append(f"values need more bits than Bits Stored = {stored}")
    return faithful


def _signed(words: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Two's complement of `bits` bits."""
    return np.where(words >= 2 ** (bits - 1), words - 2**bits, words)


def _overlay_in_pixels(header: Any) -> bool:
    return any(number(header[tag].value) > 0 for tag in OVERLAY_BIT_POSITIONS if tag in header)


def _luminance(raw: NDArray[Any], kind: str) -> Values:
    """The luminance [H, W] of a colour image's pixels [H, W, 3], which are of a photometric interpretation."""
    if raw.ndim == 3 and raw.shape[2] == 3 and kind in ("RGB", "YBR_RCT", "YBR_ICT"):
        # The JPEG 2000 decoder has already undone the reversible and the irreversible colour transform.
        luminance: Values = raw.astype(np.float64) @ LUMINANCE
        return luminance
    if raw.ndim == 3 and raw.shape[2] == 3 and kind in ("YBR_FULL", "YBR_FULL_422"):
        return raw[..., 0].astype(np.float64)
    raise UnreadableImageError("the photometric interpretation is no grey or RGB image's")


def not_padding(stored: Values, header: Any) -> Bools:
    """Which of the stored values [n] are no padding (PS3.3 C.7.5.1.1.2); all of them where every one would be."""
    everywhere: Bools = np.ones(len(stored), dtype=bool)
    ends = [number(header.get(name)) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    if np.isnan(ends[0]):
        return everywhere
    # Written as unsigned by many, whatever the pixels are.
    if int(header.PixelRepresentation):
        bits = int(header.BitsAllocated)
        ends = [end - 2**bits if end >= 2 ** (bits - 1) else end for end in ends]
    low, high = ends[0], ends[0] if np.isnan(ends[1]) else ends[1]
    inside: Bools = (stored < min(low, high)) | (stored > max(low, high))
    return inside if inside.any() else everywhere
