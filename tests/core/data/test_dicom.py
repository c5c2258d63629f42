"""DICOM to pixels: files written here, values computed by hand, and two real files that hold one picture."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from core.data.pixels import read_film
from core.data.types import UnreadableImageError

RAMP = np.array([[0, 100, 200], [300, 400, 500]])


def film(pixels: np.ndarray, bits: int = 12, syntax: str = ExplicitVRLittleEndian, **tags: Any) -> Dataset:
    """A CR film of integer pixels [H, W] with further tags."""
    signed = bool((pixels < 0).any())
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = ComputedRadiographyImageStorage, generate_uid()
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "12345"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored = (8, 8) if bits == 8 else (16, bits)
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(signed)
    kind = "u1" if bits == 8 else "i2" if signed else "u2"
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    dataset.PixelData = pixels.astype(order + kind).tobytes()
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    for name, value in tags.items():
        setattr(dataset, name, value)
    return dataset


def lut(first: int, bits: int, entries: list[int]) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = entries
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return Sequence([item])


def save(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def read(dataset: Dataset, folder: Path) -> np.ndarray:
    return read_film(save(dataset, folder / "film.dcm")).pixels


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        # LINEAR, PS3.3 C.11.2.1.2.1: (x - (c - 0.5)) / (w - 1) + 0.5
        ({"WindowCenter": 200.5, "WindowWidth": 401}, RAMP / 400),
        # LINEAR_EXACT: (x - c) / w + 0.5
        ({"WindowCenter": 200, "WindowWidth": 400, "VOILUTFunction": "LINEAR_EXACT"}, RAMP / 400),
        ({"WindowCenter": 200, "WindowWidth": 400, "VOILUTFunction": "SIGMOID"}, 1 / (1 + np.exp(-(RAMP - 200) / 100))),
        # the first of two windows
        ({"WindowCenter": [200.5, 9999], "WindowWidth": [401, 2]}, RAMP / 400),
        # rescale comes before the window: 2 x - 100
        (
            {"RescaleSlope": 2, "RescaleIntercept": -100, "WindowCenter": 200.5, "WindowWidth": 801},
            (2.0 * RAMP + 100) / 800,
        ),
        # inversion comes last
        ({"WindowCenter": 200.5, "WindowWidth": 401, "PhotometricInterpretation": "MONOCHROME1"}, 1 - RAMP / 400),
        # a width of 1 is a threshold at c - 0.5
        ({"WindowCenter": 250.5, "WindowWidth": 1}, RAMP > 250),
    ],
)
def test_windows(tags: dict[str, Any], expected: np.ndarray, tmp_path: Path) -> None:
    np.testing.assert_allclose(read(film(RAMP, **tags), tmp_path), np.clip(expected, 0, 1), atol=1e-6)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_bits_stored(bits: int, tmp_path: Path) -> None:
    top = 2**bits - 1
    pixels = np.array([[0, top // 5, top]])
    shown = read(film(pixels, bits, WindowCenter=(top + 1) / 2, WindowWidth=top + 1), tmp_path)
    np.testing.assert_allclose(shown, pixels / top, atol=1e-6)


def test_signed_pixels(tmp_path: Path) -> None:
    pixels = np.array([[-1000, -500, 0, 1000]])
    shown = read(film(pixels, 16, WindowCenter=0.5, WindowWidth=2001), tmp_path)
    np.testing.assert_allclose(shown, [[0, 0.25, 0.5, 1]], atol=1e-6)


def test_voi_lut_with_an_offset_and_values_beyond_its_ends(tmp_path: Path) -> None:
    # Entries for pixel values 100 to 103; below and above, the ends are repeated.
    pixels = np.array([[0, 100, 101, 102, 103, 4000]])
    shown = read(film(pixels, VOILUTSequence=lut(100, 12, [0, 1000, 3000, 4000])), tmp_path)
    np.testing.assert_allclose(shown, np.array([[0, 0, 1000, 3000, 4000, 4000]]) / 4095, atol=1e-6)


def test_voi_lut_of_8_bits_with_more_than_256_entries(tmp_path: Path) -> None:
    pixels = np.array([[0, 255, 256, 1023]])
    entries = (np.arange(1024) * 255 // 1023).tolist()
    shown = read(film(pixels, 10, VOILUTSequence=lut(0, 8, entries)), tmp_path)
    np.testing.assert_allclose(shown, np.array(entries)[pixels] / 255, atol=1e-6)


def test_voi_lut_goes_before_a_window_and_modality_lut_before_both(tmp_path: Path) -> None:
    pixels = np.array([[0, 1, 2]])
    tags = {"ModalityLUTSequence": lut(0, 12, [10, 20, 30]), "VOILUTSequence": lut(10, 8, list(range(0, 252, 12)))}
    shown = read(film(pixels, WindowCenter=1, WindowWidth=2, **tags), tmp_path)
    np.testing.assert_allclose(shown, np.array([[0, 120, 240]]) / 255, atol=1e-6)


def test_voi_lut_below_zero_for_signed_pixels(tmp_path: Path) -> None:
    # First value -2, written as unsigned 65534, as many writers do.
    pixels = np.array([[-2, -1, 0, 1]])
    shown = read(film(pixels, 16, VOILUTSequence=lut(65534, 8, [0, 50, 100, 200])), tmp_path)
    np.testing.assert_allclose(shown, np.array([[0, 50, 100, 200]]) / 255, atol=1e-6)


def test_without_a_window_the_percentiles_are_stretched(tmp_path: Path) -> None:
    pixels = np.arange(1001)[None] + 500
    shown = read(film(pixels), tmp_path)
    # The 0.5th and 99.5th percentiles of 500..1500 are 505 and 1495.
    np.testing.assert_allclose(shown, np.clip((pixels - 505) / 990, 0, 1), atol=1e-6)


@pytest.mark.parametrize(
    "tags", [{"WindowCenter": 90000, "WindowWidth": 10}, {"WindowCenter": 5, "WindowWidth": 0}, {"WindowCenter": 5}]
)
def test_a_window_that_shows_nothing_is_ignored(tags: dict[str, Any], tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(film(RAMP, **tags), tmp_path), read(film(RAMP), tmp_path))


def test_a_blank_film_is_black(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(film(np.full((2, 2), 7)), tmp_path), np.zeros((2, 2)))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("bits", [8, 12])
def test_compressed_syntaxes_equal_the_raw_film(syntax: str, bits: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 2**bits, (72, 64))
    tags = {"WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits, "PhotometricInterpretation": "MONOCHROME1"}
    raw = film(pixels, bits, **tags)
    packed = film(pixels, bits, **tags)
    packed.compress(syntax)
    assert packed.file_meta.TransferSyntaxUID == syntax
    expected = read(raw, tmp_path)
    np.testing.assert_allclose(expected, 1 - pixels / (2**bits - 1), atol=1e-6)
    np.testing.assert_array_equal(read(packed, tmp_path), expected)


def test_jpeg_baseline_is_decoded_as_the_jpeg_inside_it(tmp_path: Path) -> None:
    pixels = np.add.outer(np.arange(24), 6 * np.arange(32)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    dataset = film(pixels, bits=8, WindowCenter=128, WindowWidth=256)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate([stream.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    inside = np.asarray(Image.open(stream)).astype(float)
    shown = read(dataset, tmp_path)
    assert np.corrcoef(shown.ravel(), inside.ravel())[0, 1] > 0.9999
    assert np.abs((shown - shown.min()) / np.ptp(shown) - (inside - inside.min()) / np.ptp(inside)).max() < 0.01


def test_big_endian(tmp_path: Path) -> None:
    shown = read(film(RAMP, syntax=ExplicitVRBigEndian, WindowCenter=200.5, WindowWidth=401), tmp_path)
    np.testing.assert_allclose(shown, np.clip(RAMP / 400, 0, 1), atol=1e-6)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_files_without_preamble_and_meta(syntax: str, tmp_path: Path) -> None:
    dataset = film(RAMP, syntax=syntax, WindowCenter=200.5, WindowWidth=401)
    buffer = io.BytesIO()
    bare = Dataset(dataset)
    pydicom.dcmwrite(
        buffer,
        bare,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=True,
        enforce_file_format=False,
    )
    path = tmp_path / "bare.dcm"
    path.write_bytes(buffer.getvalue())
    assert path.read_bytes()[128:132] != b"DICM"
    np.testing.assert_allclose(read_film(path).pixels, np.clip(RAMP / 400, 0, 1), atol=1e-6)


def test_a_colour_capture_becomes_its_luminance(tmp_path: Path) -> None:
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], dtype=np.uint8)
    dataset = film(np.zeros((1, 4), dtype=int), 8, WindowCenter=128, WindowWidth=256)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.PixelData = pixels.tobytes()
    np.testing.assert_allclose(read(dataset, tmp_path), [[0.299, 0.587, 0.114, 1]], atol=1e-6)


@pytest.mark.parametrize("high_bit", [7, 11, 15])
def test_a_colour_capture_uses_the_bits_that_are_stored(high_bit: int, tmp_path: Path) -> None:
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [51, 51, 51]]], dtype="<u2") << (high_bit - 7)
    dataset = film(np.zeros((1, 3), dtype=int), 12, BitsStored=8, HighBit=high_bit)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.PixelData = pixels.tobytes()
    np.testing.assert_allclose(read(dataset, tmp_path), [[0.299, 0.587, 0.2]], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"PixelData": b"\0" * 4}, "cut short"),
        ({"NumberOfFrames": 3}, "3 frames"),
        ({"Rows": 60000, "Columns": 60000}, "claims 60000 x 60000"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "photometric"),
    ],
)
def test_films_that_cannot_be_used(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match=reason):
        read(film(RAMP, **change), tmp_path)


def test_damaged_files_never_raise_anything_else(tmp_path: Path) -> None:
    dataset = film(np.random.default_rng(0).integers(0, 4096, (64, 64)))
    dataset.compress(JPEG2000Lossless)
    whole = save(dataset, tmp_path / "film.dcm").read_bytes()
    rng = np.random.default_rng(1)
    failures = 0
    for round_ in range(150):
        damaged = bytearray(whole[: rng.integers(1, len(whole))] if round_ % 2 else whole)
        for place in rng.integers(0, len(damaged), 8):
            damaged[place] = rng.integers(0, 256)
        path = tmp_path / "damaged.dcm"
        path.write_bytes(bytes(damaged))
        try:
            shown = read_film(path).pixels
        except UnreadableImageError:
            failures += 1
        else:
            assert np.isfinite(shown).all()
            assert shown.min() >= 0
            assert shown.max() <= 1
    assert failures > 20


def test_reasons_and_logs_hold_nothing_of_the_header(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    secret = "SECRETNAME"
    with pydicom.config.disable_value_validation():
        dataset = film(
            RAMP, PatientBirthDate=secret, StudyDate=secret, NumberOfFrames=1, WindowCenter=1, ImageComments=secret
        )
        dataset.PatientName = secret
        dataset.WindowWidth = 1
        path = save(dataset, tmp_path / "film.dcm")
    # A value that breaks the rules of its type stands in a tag that is parsed.
    damaged = path.read_bytes().replace(b"MONOCHROME2", b"SECRETNAME ")
    path.write_bytes(damaged)
    with caplog.at_level(logging.DEBUG), pytest.raises(UnreadableImageError) as caught:
        read_film(path)
    assert secret not in str(caught.value) + caplog.text + "".join(str(w.message) for w in recwarn)


def test_only_the_tags_that_the_picture_needs_are_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()
    real = pydicom.dcmread

    def spy(*arguments: Any, **settings: Any) -> Any:
        dataset = real(*arguments, **settings)
        seen.update(element.keyword for element in dataset)
        return dataset

    monkeypatch.setattr(pydicom, "dcmread", spy)
    read(film(RAMP, PatientBirthDate="19700101", StudyDate="20200101"), tmp_path)
    assert "PixelData" in seen
    assert not seen & {"PatientName", "PatientID", "PatientBirthDate", "StudyDate", "SOPInstanceUID"}


def test_a_missing_decoder_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = film(np.zeros((64, 64), dtype=int))
    dataset.compress(JPEG2000Lossless)
    path = save(dataset, tmp_path / "film.dcm")
    monkeypatch.setattr("core.data.stored.get_decoder", lambda _: SimpleNamespace(is_available=False))
    with pytest.raises(UnreadableImageError, match=r"no decoder for JPEG 2000 .*viewpair\[jpeg\]"):
        read_film(path)


def test_the_real_film_is_the_same_raw_and_compressed(shared_data: Path) -> None:
    raw = read_film(shared_data / "dicom" / "cr_mono1_10bit_no_preamble.dcm").pixels
    packed = read_film(shared_data / "dicom" / "cr_mono1_10bit_jpeg2000.dcm").pixels
    assert raw.shape == packed.shape == (440, 440)
    assert np.abs(raw - packed).max() < 1e-3
    # Lungs are dark and the spine is bright: the MONOCHROME1 film was inverted once.
    assert raw[200:260, 90:150].mean() < 0.5 < raw[330:430, 190:230].mean()
