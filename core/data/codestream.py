"""What a compressed picture says of itself, looked at before a decoder written in C believes it."""

from __future__ import annotations

import struct
from typing import Any

from pydicom.encaps import get_frame

from core.data.types import UnreadableImageError

# Start of frame: SOF0 to SOF15 without DHT, JPG and DAC, which have numbers in between; and JPEG-LS's SOF55.
START_OF_FRAME = (set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}
STANDALONE = {0x01, *range(0xD0, 0xD8)}
MAX_TILES = 65_535
MAX_COMPONENTS = 4


def check_codestream(header: Any) -> None:
    """Raise UnreadableImageError where a JPEG, JPEG-LS or JPEG 2000 picture is not as large as its DICOM header says.

    A decoder takes memory for what the picture claims, not for what the header does. RLE has no size of its own.
    """
    data = get_frame(header.PixelData, 0, number_of_frames=1)
    size = jpeg_size(data) if data[:2] == b"\xff\xd8" else jpeg2000_size(data)
    if size is not None and size != (int(header.Rows), int(header.Columns)):
        raise UnreadableImageError(f"the picture inside is {size[0]} x {size[1]}, the header says otherwise")


def jpeg_size(data: bytes) -> tuple[int, int]:
    """(rows, columns) of a JPEG or JPEG-LS picture. Raises UnreadableImageError where its frame has no header."""
    place = 2
    while place + 9 <= len(data):
        if data[place] != 0xFF:
            break
        marker = data[place + 1]
        if marker == 0xFF or marker in STANDALONE:
            place += 1 if marker == 0xFF else 2
            continue
        if marker in START_OF_FRAME:
            rows, columns = struct.unpack(">HH", data[place + 5 : place + 9])
            return rows, columns
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    raise UnreadableImageError("the JPEG inside has no frame header")


def jpeg2000_size(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) of a JPEG 2000 picture, in a JP2 file or bare; None where it is none.

    Raises UnreadableImageError for more tiles or components than a film has.
    """
    start = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start < 0 or len(data) < start + 42:
        return None
    right, bottom, left, top, width, height, *_ = struct.unpack(">8I", data[start + 8 : start + 40])
    (components,) = struct.unpack(">H", data[start + 40 : start + 42])
    if not width or not height or -(-right // width) * -(-bottom // height) > MAX_TILES or components > MAX_COMPONENTS:
        raise UnreadableImageError("the JPEG 2000 picture inside claims impossible tiles or components")
    return bottom - top, right - left
