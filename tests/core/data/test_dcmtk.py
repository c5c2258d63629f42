"""DICOM to grey, beside an independent renderer: dcmj2pnm and the encoders of dcmtk (Debian; `make dcmtk`)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEGLSLossless

from core.data.pixels import read_film
from tests.core.data.test_dicom import film, lut, save

pytestmark = pytest.mark.skipif(shutil.which("dcmj2pnm") is None, reason="dcmtk is not installed (make dcmtk)")

MONOCHROME1 = {"PhotometricInterpretation": "MONOCHROME1"}
# dcmj2pnm takes windows and LUTs only when told which.
WINDOW, VOI_LUT, PLAIN = ("+Wi", "1"), ("+Wl", "1"), ()
STEP = 1.5 / 65535


def chest(bits: int, signed: bool = False, seed: int = 0) -> np.ndarray:
    """Smooth bright and dark parts with noise [40, 34], over nearly all values of `bits` bits."""
    rows, columns = np.mgrid[0:40, 0:34]
    shape = 0.5 + 0.4 * np.cos(columns / 5.0) * np.cos(rows / 9.0)
    shape += np.random.default_rng(seed).normal(0, 0.03, shape.shape)
    values = np.clip(shape, 0, 1) * (2**bits - 1)
    return np.rint(values).astype(np.int64) - (2 ** (bits - 1) if signed else 0)


def run(program: str, *arguments: str | Path) -> bytes:
    return subprocess.run([program, *map(str, arguments)], capture_output=True, check=True).stdout


def rendered(path: Path, *how: str) -> np.ndarray:
    """What dcmtk shows of a file, [H, W] from 0 to 1 with 16 bits. dcmj2pnm is dcm2pnm that knows JPEG."""
    head = path.read_bytes()[:400]
    program = "dcml2pnm" if JPEGLSLossless[:-1].encode() in head else "dcmj2pnm"
    words = run(program, "-q", "+opw", "+G", "-O", *how, path).split(b"\n", 1)[1].split()
    words = [word for word in words if word.isdigit()]
    columns, rows, top = (int(word) for word in words[:3])
    return np.array(words[3:], dtype=np.float64).reshape(rows, columns) / top


def assert_same(path: Path, how: tuple[str, ...], tone: str = "voi", atol: float = STEP) -> None:
    ours, theirs = read_film(path, tone).pixels, rendered(path, *how)
    assert np.ptp(theirs) > 0.3
    np.testing.assert_allclose(ours, theirs, atol=atol)


def window(bits: int, signed: bool) -> dict[str, float]:
    return {"WindowCenter": 0 if signed else 2 ** (bits - 1), "WindowWidth": 2**bits * 0.7}


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("bits", "signed"), [(8, False), *((bits, signed) for bits in (10, 12, 14, 16) for signed in (False, True))]
)
def test_bits_sign_and_photometric(bits: int, signed: bool, photometric: str, tmp_path: Path) -> None:
    tags = {**window(bits, signed), "PhotometricInterpretation": photometric}
    assert_same(save(film(chest(bits, signed), bits, **tags), tmp_path / "film.dcm"), WINDOW)


RESCALE = {"RescaleSlope": 2.5, "RescaleIntercept": -1024}
# dcmtk rounds what the rescale gives to whole numbers, and divides a LUT's output by 2^bits instead of 2^bits - 1.
CASES: dict[str, tuple[dict[str, Any], tuple[str, ...], float]] = {
    "first of several windows": ({"WindowCenter": [1500, 3000, 100], "WindowWidth": [2500, 400, 50]}, WINDOW, STEP),
    "sigmoid": ({"WindowCenter": 2000, "WindowWidth": 1500, "VOILUTFunction": "SIGMOID"}, WINDOW, STEP),
    "rescale": ({**RESCALE, "WindowCenter": 4000, "WindowWidth": 7000}, WINDOW, 1 / 7000),
    "negative slope": ({"RescaleSlope": -1, "RescaleIntercept": 4095, **window(12, False)}, WINDOW, STEP),
    "slope 0": ({"RescaleSlope": 0, "RescaleIntercept": 0, **window(12, False)}, WINDOW, STEP),
    "modality LUT": ({"ModalityLUTSequence": lut(0, 16, [i * i // 256 for i in range(4096)]),
                      "WindowCenter": 30000, "WindowWidth": 60000}, WINDOW, STEP),
    "VOI LUT": ({"VOILUTSequence": lut(500, 12, [int(4095 * (i / 2999) ** 0.5) for i in range(3000)])},
                VOI_LUT, 1 / 4095),
    "VOI LUT of 8 bits": ({"VOILUTSequence": lut(0, 8, [i // 16 for i in range(4096)])}, VOI_LUT, 1 / 255),
    "VOI LUT after rescale": ({"RescaleSlope": 1, "RescaleIntercept": 1000,
                               "VOILUTSequence": lut(900, 10, [i // 4 for i in range(4096)])}, VOI_LUT, 1 / 1023),
}  # fmt: skip


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("case", CASES)
def test_look_up_tables_and_windows(case: str, photometric: str, tmp_path: Path) -> None:
    tags, how, atol = CASES[case]
    path = save(film(chest(12), 12, **{**tags, "PhotometricInterpretation": photometric}), tmp_path / "film.dcm")
    assert_same(path, how, atol=atol)


def test_min_max_after_rescale(tmp_path: Path) -> None:
    tags = {**RESCALE, **MONOCHROME1}
    assert_same(save(film(chest(12), 12, **tags), tmp_path / "film.dcm"), ("+Wm",), "minmax", atol=1 / 4095)


def words_of(dataset: Dataset, words: np.ndarray, **tags: int) -> Dataset:
    """The film with other 16-bit words as its pixels, whatever its header says of them."""
    dataset.PixelData = words.astype("<u2").tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    return dataset


def test_high_bit_above_the_stored_bits(tmp_path: Path) -> None:
    pixels = chest(12)
    dataset = words_of(film(pixels, 12, **window(12, False)), pixels << 4 | 9, HighBit=15)
    assert_same(save(dataset, tmp_path / "film.dcm"), WINDOW)


def test_signed_values_without_their_sign_extended(tmp_path: Path) -> None:
    pixels = chest(12, signed=True)
    dataset = words_of(film(pixels, 12, **window(12, True)), pixels & 0xFFF)
    assert_same(save(dataset, tmp_path / "film.dcm"), WINDOW)


def test_an_overlay_in_the_unused_bits(tmp_path: Path) -> None:
    pixels = chest(12)
    overlay = (np.indices(pixels.shape).sum(axis=0) % 3 == 0).astype(np.int64) << 13
    dataset = words_of(film(pixels, 12, **window(12, False)), pixels | overlay)
    rows, columns = pixels.shape
    dataset.add_new((0x6000, 0x0010), "US", rows)
    dataset.add_new((0x6000, 0x0011), "US", columns)
    dataset.add_new((0x6000, 0x0040), "CS", "G")
    dataset.add_new((0x6000, 0x0050), "SS", [1, 1])
    dataset.add_new((0x6000, 0x0100), "US", 16)
    dataset.add_new((0x6000, 0x0102), "US", 13)
    path = save(dataset, tmp_path / "film.dcm")
    assert_same(path, WINDOW)
    assert not read_film(path).notes


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_uncompressed_syntaxes(syntax: str, tmp_path: Path) -> None:
    table = {"VOILUTSequence": lut(500, 12, list(range(3000)))}
    assert_same(save(film(chest(12), 12, syntax, **table), tmp_path / "film.dcm"), VOI_LUT, atol=1 / 4095)


# dcmtk's own encoders: program, flags, bits, signed
ENCODERS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "deflated": ("dcmconv", ("+td",), 12),
    "no preamble, no meta": ("dcmconv", ("-F", "+te"), 12),
    "no preamble, implicit": ("dcmconv", ("-F", "+ti"), 12),
    "RLE": ("dcmcrle", (), 12),
    "RLE, 8 bits": ("dcmcrle", (), 8),
    "JPEG-LS lossless": ("dcmcjpls", ("+el",), 12),
    "JPEG-LS near-lossless": ("dcmcjpls", ("+en",), 12),
    "JPEG lossless, process 14": ("dcmcjpeg", ("+el",), 12),
    "JPEG lossless, first order": ("dcmcjpeg", ("+e1",), 16),
    "JPEG baseline": ("dcmcjpeg", ("+eb", "+q", "95"), 8),
    "JPEG extended, 12 bits": ("dcmcjpeg", ("+ee", "+q", "98"), 12),
}


@pytest.mark.parametrize("case", ENCODERS)
def test_files_that_dcmtk_wrote(case: str, tmp_path: Path) -> None:
    program, flags, bits = ENCODERS[case]
    if case == "JPEG extended, 12 bits":
        pytest.importorskip("libjpeg")  # Pillow says that it decodes the syntax, and has 8 bits only
    raw = save(film(chest(bits), bits, **window(bits, False), **MONOCHROME1), tmp_path / "raw.dcm")
    written = tmp_path / "written.dcm"
    run(program, *flags, raw, written)
    assert written.read_bytes() != raw.read_bytes()
    if program in ("dcmcjpeg", "dcmcjpls") and not decodable(written):
        pytest.skip("no decoder for this syntax: pip install 'viewpair[jpeg]'")
    # Two decoders of a lossy picture may round differently.
    assert_same(
        written, WINDOW, atol=2 / 255 if bits == 8 and "JPEG" in case else 8 / 4095 if "12 bits" in case else STEP
    )


def decodable(path: Path) -> bool:
    return bool(get_decoder(dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID).is_available)


def colour(pixels: np.ndarray, photometric: str) -> Dataset:
    dataset = film(np.zeros(pixels.shape[:2], dtype=int), 8)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, photometric, 0
    dataset.PixelData = pixels.astype(np.uint8).tobytes()
    return dataset


def hues() -> np.ndarray:
    """Three channels [32, 32, 3] from 26 to 230, so that no conversion to RGB has to clip."""
    return np.stack([chest(8, seed=seed)[:32, :32] * 0.8 + 26 for seed in range(3)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
@pytest.mark.parametrize("planar", [0, 1])
def test_colour(photometric: str, planar: int, tmp_path: Path) -> None:
    pixels = hues() if photometric == "RGB" else np.stack([hues()[..., 0], *np.full((2, 32, 32), 134)], -1)
    dataset = colour(pixels, photometric)
    if planar:
        dataset.PlanarConfiguration = 1
        dataset.PixelData = np.moveaxis(pixels, -1, 0).astype(np.uint8).tobytes()
    # dcmtk goes to RGB of 8 bits and back to grey, and divides by 256 where we divide by 255.
    assert_same(save(dataset, tmp_path / "film.dcm"), PLAIN, atol=2.5 / 255)


def test_subsampled_colour(tmp_path: Path) -> None:
    bright = hues()[..., 0].reshape(-1, 2)
    dataset = colour(hues(), "YBR_FULL_422")
    dataset.PixelData = np.column_stack([bright, np.full((len(bright), 2), 120)]).astype(np.uint8).tobytes()
    assert_same(save(dataset, tmp_path / "film.dcm"), PLAIN, atol=2.5 / 255)


def test_a_colour_jpeg(tmp_path: Path) -> None:
    raw = save(colour(hues(), "RGB"), tmp_path / "raw.dcm")
    run("dcmcjpeg", "+eb", "+q", "95", raw, tmp_path / "jpeg.dcm")
    assert dcmread(tmp_path / "jpeg.dcm").PhotometricInterpretation.startswith("YBR")
    assert_same(tmp_path / "jpeg.dcm", PLAIN, atol=3 / 255)


def test_the_real_film(shared_data: Path) -> None:
    """It has no window, and what we do without one is ours alone: min-max is compared."""
    path = shared_data / "dicom" / "cr_mono1_10bit_no_preamble.dcm"
    assert_same(path, ("+Wm",), "minmax", atol=1 / 1023)
