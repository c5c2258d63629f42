"""Damaged image files for fuzzing: sound files of every kind, and what breaks them. The same seed, the same bytes."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

ROWS, COLUMNS = 40, 32
# A 12 x 10 film of 12 bits as dcmtk's encoders write it: no package of this project can write these two.
LOSSLESS_ROWS, LOSSLESS_COLUMNS = 12, 10
JPEG_LOSSLESS = (
    "|JeWF01!$>Nk#wx0RR9200961|HA+a5C9AS3IPET0RO}Q8~^|U0|5a60RR9100000000OH1O^8M0|5{J+5iXv0RRC20Q@<Ym^6Y5"
    "8Am4M(4JK#dYU!@t1(L_WZs}vUOiA9f+fDH)N+VZ3jAWK;DOToS?bYOtJT03*70#<Bwx#+ajyV1fAI3*_*M=AV2msg7T-3Jl;NY$"
    "+BOb262y(ht5T>L-gTbQ70=&ac`~L<mn~gPv0b!%Q(M<{jXh;`Z`&aRO%%mZL`be)_OM15Cdt-#9L8t=|Je"
)
JPEG_LS = (
    "|JeWc01FTR3;+rN0TBTI_y7$7|Nj6I07C&306_oR00;pA000000GV-`m3v9CZ83&Kzm+sXh!E-+LP#Y6AY2cDvkEUti5(gvs3IeU"
    "u%4YoDd{++M7<7;Vmv>zQYD#}ToeRai!jBX@-n8cgd&=aMY!)9QWPYO+3u#AEgEDzdCt&E7)1)Dnk6^VbN-BgFfI*(F}a*`lQJ(v"
    "!Dw+UN695kN-1F{vpf=q5pp|7s!E{2DHb(?5XwrkT`$yy*;oMo|Je"
)
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def kinds() -> list[str]:
    """The kinds of sound files, in a fixed order."""
    return list(sound_files())


def mutant(seed: int, number: int) -> tuple[str, bytes]:
    """(kind, bytes) of damaged file `number`: kinds take turns; one thing is done to most files, several to some."""
    rng = np.random.default_rng([seed, number])
    names = kinds()
    kind = names[number % len(names)]
    data = sound_files()[kind]
    for _ in range(rng.geometric(0.7)):
        data = MUTATIONS[rng.integers(len(MUTATIONS))](data, rng)
    # Half of the damaged PNGs get right checksums again, so that the damage reaches what is behind them.
    return kind, with_checksums(data) if kind.startswith("PNG") and rng.random() < 0.5 else data


@cache
def sound_files() -> dict[str, bytes]:
    """Kind of file -> a sound one: DICOM in nine transfer syntaxes, colour, LUTs, without preamble; PNG; JPEG."""
    rows, columns = np.mgrid[0:ROWS, 0:COLUMNS]
    shape = 0.5 + 0.4 * np.cos(columns / 4) * np.cos(rows / 5)
    grey, deep = np.rint(shape * 255).astype(np.uint8), np.rint(shape * 4095).astype(np.uint16)
    files = {"DICOM, plain": dicom(deep), "DICOM, look-up tables": dicom(deep, tables=True)}
    files["DICOM, no preamble"] = files["DICOM, plain"][files["DICOM, plain"].index(b"\x08\x00\x16\x00") :]
    plain = (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
    files |= {f"DICOM, {syntax.name}": dicom(deep, syntax) for syntax in (*plain, RLELossless, JPEG2000Lossless)}
    files["DICOM, JPEG"] = dicom(grey, JPEGBaseline8Bit, stream=picture(grey, "JPEG"))
    small = deep[:LOSSLESS_ROWS, :LOSSLESS_COLUMNS]
    files["DICOM, JPEG lossless"] = dicom(small, JPEGLosslessSV1, stream=base64.b85decode(JPEG_LOSSLESS))
    files["DICOM, JPEG-LS"] = dicom(small, JPEGLSLossless, stream=base64.b85decode(JPEG_LS))
    files["DICOM, colour"] = dicom(np.stack([grey] * 3, axis=-1))
    files |= {"PNG": picture(grey, "PNG"), "PNG, 16 bits": picture(deep, "PNG")}
    files["PNG, colour"] = picture(np.stack([grey] * 4, axis=-1), "PNG")
    files |= {"JPEG": picture(grey, "JPEG"), "JPEG, progressive": picture(grey, "JPEG", progressive=True)}
    return files


def picture(pixels: np.ndarray, form: str, **settings: int) -> bytes:
    """Pixels as the bytes of a PNG or JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **settings)
    return buffer.getvalue()


def dicom(
    pixels: np.ndarray, syntax: UID = ExplicitVRLittleEndian, tables: bool = False, stream: bytes | None = None
) -> bytes:
    """Pixels [H, W] or [H, W, 3] as a DICOM file; `stream` is what stands in it if its syntax is compressed."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if stream is None else syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = ComputedRadiographyImageStorage, "2.25.1"
    dataset.PatientName, dataset.PatientID, dataset.StudyDate = "Fuzz^Fred", "0", "20000101"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME1" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = 8 * pixels.itemsize
    dataset.BitsStored = 8 if pixels.itemsize == 1 else 12
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    dataset.PixelPaddingValue, dataset.RescaleSlope, dataset.RescaleIntercept = 0, 2, -5
    top = 2 ** (dataset.BitsStored + 1)
    dataset.WindowCenter, dataset.WindowWidth = [top // 2, 100], [top, 9]
    if tables:
        dataset.VOILUTSequence = [lut()]
        dataset.ModalityLUTSequence = [lut()]
    swapped = syntax == ExplicitVRBigEndian and pixels.itemsize > 1
    dataset.PixelData = (pixels.byteswap() if swapped else pixels).tobytes()
    dataset["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"
    if stream is not None:
        dataset.PixelData = encapsulate([stream])
        dataset["PixelData"].is_undefined_length = True
    elif syntax in (RLELossless, JPEG2000Lossless, JPEGLSLossless):
        dataset.compress(syntax, generate_instance_uid=False)
    else:
        dataset.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def lut() -> Dataset:
    """A look-up table of 4,096 entries."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 12])
    item.add_new("LUTData", "OW", np.arange(4096, dtype="<u2").tobytes())
    return item


def place(data: bytes, rng: np.random.Generator) -> int:
    """A place to damage: in the first 600 bytes every second time, where the headers are."""
    return int(rng.integers(min(len(data), 600) if rng.random() < 0.5 else len(data)))


def flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three bits the other way."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        changed[place(data, rng)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def extreme_number(data: bytes, rng: np.random.Generator) -> bytes:
    """A number of one, two or four bytes at one of the limits of its kind, either end first."""
    width, at = int(rng.choice([1, 2, 4])), place(data, rng)
    number = EXTREMES[rng.integers(len(EXTREMES))] & (256**width - 1)
    return data[:at] + number.to_bytes(width, "little" if rng.random() < 0.5 else "big") + data[at + width :]


def overwrite(data: bytes, rng: np.random.Generator) -> bytes:
    """Up to 64 bytes of zeros, ones or noise."""
    at, count = place(data, rng), int(rng.integers(1, 65))
    filling = (bytes(count), b"\xff" * count, rng.bytes(count))[rng.integers(3)]
    return data[:at] + filling + data[at + count :]


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut off somewhere; something is left."""
    return data[: max(1, place(data, rng))]


def remove(data: bytes, rng: np.random.Generator) -> bytes:
    """Up to 64 bytes taken out; something is left."""
    at = place(data, rng)
    return data[:at] + data[at + int(rng.integers(1, 65)) :] or b"\0"


def repeat(data: bytes, rng: np.random.Generator) -> bytes:
    """A piece of up to 256 bytes put somewhere once more."""
    start, at = place(data, rng), place(data, rng)
    return data[:at] + data[start : start + int(rng.integers(1, 257))] + data[at:]


MUTATIONS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    flip_bits,
    flip_bits,
    extreme_number,
    extreme_number,
    overwrite,
    cut,
    remove,
    repeat,
)


def with_checksums(png: bytes) -> bytes:
    """A PNG with the right checksum behind each chunk, as far as its chunks can be followed."""
    at, fixed = 8, bytearray(png)
    while at + 12 <= len(fixed):
        (length,) = struct.unpack(">I", fixed[at : at + 4])
        if at + 12 + length > len(fixed):
            break
        checksum = zlib.crc32(fixed[at + 4 : at + 8 + length])
        fixed[at + 8 + length : at + 12 + length] = struct.pack(">I", checksum)
        at += 12 + length
    return bytes(fixed)
