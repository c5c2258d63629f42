"""Files to square pictures: exact values on constants and ramps, and what is said of files that are none."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data.borders import box
from core.data.pixels import load_pixels, read_film, square
from core.data.polarity import polarity
from core.data.types import Film, UnreadableImageError


def saved(pixels: np.ndarray, path: Path) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_8_bit_png_as_it_is(tmp_path: Path) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(load_pixels(saved(pixels, tmp_path / "a.png"), 16, "pad"), pixels)


def test_a_picture_that_a_table_calls_inverted_is_turned_and_its_padding_is_not(tmp_path: Path) -> None:
    path = saved(np.full((16, 8), 200, dtype=np.uint8), tmp_path / "a.png")
    shown = load_pixels(path, 16, "pad", inverted=True)
    assert set(shown[:, 4:12].ravel()) == {55}
    assert set(shown[:, :4].ravel()) == {0}


def test_16_bit_png_is_stretched_and_not_clipped(tmp_path: Path) -> None:
    pixels = (np.arange(1001, dtype=np.uint16) * 30)[None]
    shown = read_film(saved(pixels, tmp_path / "a.png")).pixels
    np.testing.assert_allclose(shown, np.clip((pixels / 30 - 5) / 990, 0, 1), atol=1e-6)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1", "L"])
def test_every_mode_of_a_white_and_a_black_pixel(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[255, 0]], dtype=np.uint8)).convert(mode)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_film(tmp_path / "a.png").pixels, [[1, 0]])


def test_jpeg_is_near_its_source(tmp_path: Path) -> None:
    pixels = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(load_pixels(tmp_path / "a.jpg", 64, "pad").astype(int) - pixels).max() <= 4


def test_policies_on_a_tall_film() -> None:
    # 40 x 20: left half black, right half white, with a grey stripe above and below the central square.
    film = np.zeros((40, 20), dtype=np.float32)
    film[:, 10:] = 1.0
    film[:10], film[30:] = 0.5, 0.5
    padded, cropped, stretched = (square(Film(film), 20, policy) for policy in ("pad", "crop", "stretch"))
    assert (padded[:, :5] == 0).all()
    assert (padded[:, 15:] == 0).all()
    np.testing.assert_allclose(padded[2, 5:15], 0.5, atol=1e-6)
    np.testing.assert_array_equal(cropped, film[10:30])
    np.testing.assert_allclose(square(Film(film.T), 20, "pad"), padded.T, atol=1e-6)
    np.testing.assert_array_equal(square(Film(film.T), 20, "crop"), cropped.T)
    np.testing.assert_allclose(stretched[2], 0.5, atol=1e-6)
    np.testing.assert_allclose(stretched[10, [2, 17]], [0, 1], atol=1e-6)


def test_shrinking_averages_over_all_pixels() -> None:
    # A checkerboard that plain subsampling would turn black or white.
    board = np.indices((64, 64)).sum(axis=0).astype(np.float32) % 2
    np.testing.assert_allclose(square(Film(board), 8, "stretch"), 0.5, atol=0.02)


@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
def test_bytes_are_shrunk_as_floats_are(resize: str) -> None:
    film = np.random.default_rng(0).integers(0, 256, (301, 240), dtype=np.uint8)
    of_bytes, of_floats = (square(Film(of), 64, resize) for of in (film, (film / 255).astype(np.float32)))
    assert of_bytes.dtype == np.uint8
    # Bytes are rounded once, at the end.
    assert np.abs(of_bytes - of_floats * 255).max() <= 0.501


def test_borders_and_polarity_of_bytes_are_those_of_floats() -> None:
    dark = np.zeros((120, 100), dtype=np.uint8)
    # 10 of 255 is black, 11 is not.
    dark[:20], dark[20:100, 10:90] = 10, np.random.default_rng(0).integers(11, 256, (80, 80))
    film = (dark / 255).astype(np.float32)
    of_bytes, of_floats = Film(dark), Film(film)
    of_table = Film(dark, table=(np.arange(256) / 255).astype(np.float32))
    for other in (of_floats, of_table):
        assert box(of_bytes) == box(other) == (20, 100, 10, 90)
        assert polarity(of_bytes) == pytest.approx(polarity(other), rel=1e-4)
        assert polarity(other.negative) == pytest.approx(-polarity(other), rel=1e-4)


def png_that_claims(height: int, width: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (bytes(range(256)) * 20, "neither PNG, JPEG nor DICOM"),
        (png_that_claims(12_000, 12_000), "claims 12000 x 12000 pixels"),
        (png_that_claims(60_000, 60_000), "more pixels than any film"),
        (png_that_claims(64, 64), "cut short or damaged"),
    ],
)
def test_files_that_hold_no_picture(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=reason):
        load_pixels(path, 16, "pad")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_truncated_pictures(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"film.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(path)
    whole = path.read_bytes()
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UnreadableImageError, match="cut short or damaged"):
            load_pixels(path, 16, "pad")


def test_a_file_that_vanished(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match="cannot be opened"):
        load_pixels(tmp_path / "gone.png", 16, "pad")


def test_random_bytes_named_dicom(tmp_path: Path) -> None:
    path = tmp_path / "film.dcm"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(UnreadableImageError):
        load_pixels(path, 16, "pad")
