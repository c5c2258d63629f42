"""What DICOM files get wrong, where no renderer can be asked: padding, lying headers, pictures that claim too much."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless

from core.data.borders import without_borders
from core.data.grey import mimic_cxr_jpg
from core.data.levels import Levels
from core.data.pixels import Rendering, load_picture, read_film
from core.data.polarity import looks_inverted, polarity
from core.data.types import Film, UnreadableImageError
from tests.core.data.test_dicom import RAMP, film, read, save

IDENTITY = {"WindowCenter": 200.5, "WindowWidth": 401}


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    "tags", [{"PixelPaddingValue": 4000}, {"PixelPaddingValue": 3900, "PixelPaddingRangeLimit": 4095}]
)
def test_padding_is_black_and_moves_no_percentile(tags: dict[str, Any], photometric: str, tmp_path: Path) -> None:
    pixels = np.tile(np.arange(1001), (3, 1))
    padded = np.vstack([pixels, np.full((3, 1001), 4000)])
    tags = {"PhotometricInterpretation": photometric, **tags}
    shown = read(film(padded, **tags), tmp_path)
    plain = read(film(pixels, PhotometricInterpretation=photometric), tmp_path)
    np.testing.assert_array_equal(shown[3:], 0)
    np.testing.assert_allclose(shown[:3], plain, atol=1e-6)


def test_padding_of_signed_pixels_written_as_unsigned(tmp_path: Path) -> None:
    pixels = np.vstack([np.arange(-500, 501)[None], np.full((1, 1001), -2000)])
    dataset = film(pixels, 16)
    dataset.add_new("PixelPaddingValue", "US", 65536 - 2000)
    np.testing.assert_allclose(read(dataset, tmp_path)[0], read(film(pixels[:1], 16), tmp_path)[0], atol=1e-6)


def test_a_film_of_nothing_but_padding_is_still_a_film(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(film(np.full((2, 3), 7), PixelPaddingValue=7), tmp_path), np.zeros((2, 3)))


@pytest.mark.parametrize("signed", [False, True])
def test_values_beyond_bits_stored_are_kept_and_noted(signed: bool, tmp_path: Path) -> None:
    # 10 bits claimed, 12 used: a renderer that trusts the tag folds 1024 back to 0.
    pixels = np.array([[0, 1000, 1024, 4000]]) - (2000 if signed else 0)
    centre = 0.5 if signed else 2000.5
    dataset = film(pixels, 12, WindowCenter=centre, WindowWidth=4001, BitsStored=10, HighBit=9)
    found = read_film(save(dataset, tmp_path / "film.dcm"))
    np.testing.assert_allclose(found.pixels, [[0, 0.25, 0.256, 1]], atol=1e-6)
    assert found.notes == ("values need more bits than Bits Stored = 10",)


def test_honest_bits_are_not_noted(tmp_path: Path) -> None:
    assert read_film(save(film(RAMP, 12, **IDENTITY), tmp_path / "film.dcm")).notes == ()


@pytest.mark.parametrize(
    "tags",
    [
        {"WindowCenter": [9, 200.5], "WindowWidth": [0, 401]},
        {"WindowCenter": [90000, 200.5], "WindowWidth": [10, 401]},
        {"WindowCenter": [200.5, 77], "WindowWidth": [401]},
    ],
)
def test_the_first_window_that_shows_anything(tags: dict[str, Any], tmp_path: Path) -> None:
    np.testing.assert_allclose(read(film(RAMP, **tags), tmp_path), np.clip(RAMP / 400, 0, 1), atol=1e-6)


# Made with OpenCV 5.0.0: min-max to 255, truncated; 255 - x where inverted; cv2.equalizeHist.
SMALL = np.array([[100, 200, 300, 400], [400, 800, 800, 4000], [4000, 4000, 100, 900.0]])
OPENCV = {
    False: [[0, 26, 51, 102], [102, 153, 153, 255], [255, 255, 0, 178]],
    True: [[255, 198, 170, 142], [142, 85, 85, 0], [0, 0, 255, 28]],
}
OPENCV_NOISE = ["2838315b93eeab6e", "c104d913729e22fc", "64dc3c14f522cec0", "857c87fa86ec2416"]


@pytest.mark.parametrize("inverted", [False, True])
def test_mimic_cxr_jpg_is_what_opencv_makes(inverted: bool, tmp_path: Path) -> None:
    photometric = "MONOCHROME1" if inverted else "MONOCHROME2"
    # Neither the rescale nor the window has a part in it.
    dataset = film(SMALL.astype(int), 12, PhotometricInterpretation=photometric, RescaleSlope=-3, RescaleIntercept=1)
    dataset.WindowCenter, dataset.WindowWidth = 300, 20
    shown = read_film(save(dataset, tmp_path / "film.dcm"), "mimic_cxr_jpg").pixels
    np.testing.assert_array_equal(np.rint(shown * 255), OPENCV[inverted])


@pytest.mark.parametrize("seed", range(4))
def test_mimic_cxr_jpg_of_noise_has_opencvs_bytes(seed: int) -> None:
    stored = np.random.default_rng(seed).normal(2000, 600, (97, 61)).round()
    levels = Levels.of(stored)
    shades = mimic_cxr_jpg(levels.values, levels.counts, bool(seed % 2))
    shown = np.rint(levels.film(shades).pixels * 255).astype(np.uint8)
    assert hashlib.sha256(shown.tobytes()).hexdigest()[:16] == OPENCV_NOISE[seed]


@pytest.mark.parametrize("tone", ["percentiles", "minmax", "mimic_cxr_jpg"])
def test_tones_of_a_png_stretch_it(tone: str, tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    Image.fromarray(np.tile(np.arange(100, 150, dtype=np.uint8), (4, 1))).save(path)
    shown = read_film(path, tone).pixels
    assert shown.min() == 0
    assert shown.max() == 1


def test_the_tone_changes_what_a_window_would_show(tmp_path: Path) -> None:
    path = save(film(RAMP, WindowCenter=100, WindowWidth=50), tmp_path / "film.dcm")
    np.testing.assert_allclose(read_film(path, "minmax").pixels, RAMP / 500, atol=1e-6)
    assert np.ptp(read_film(path).pixels[1]) == 0


def framed(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    inner = np.random.default_rng(0).uniform(0.2, 1, (50, 40)).astype(np.float32)
    return np.pad(inner, ((top, bottom), (left, right)))


@pytest.mark.parametrize("widths", [(0, 0, 0, 0), (7, 0, 0, 0), (0, 0, 30, 9), (20, 10, 30, 40)])
def test_black_borders_are_cut_off_exactly(widths: tuple[int, int, int, int]) -> None:
    np.testing.assert_array_equal(without_borders(Film(framed(*widths))).stored, framed(0, 0, 0, 0))


def test_a_marker_in_the_border_does_not_keep_it() -> None:
    film_with_marker = framed(20, 20, 30, 30)
    film_with_marker[4:6, 10] = 1
    np.testing.assert_array_equal(without_borders(Film(film_with_marker)).stored, framed(0, 0, 0, 0))


@pytest.mark.parametrize("film_", [np.zeros((40, 40)), np.pad(np.ones((4, 40)), ((20, 20), (0, 0)))])
def test_a_dark_film_is_not_cut_away(film_: np.ndarray) -> None:
    np.testing.assert_array_equal(without_borders(Film(film_.astype(np.float32))).stored, film_)


def test_borders_are_a_choice_of_the_rendering(tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    Image.fromarray((framed(20, 10, 30, 40) * 255).astype(np.uint8)).save(path)
    kept, cut = (load_picture(path, Rendering(32, "stretch", borders=how)).pixels for how in ("keep", "crop"))
    assert (kept[:4] == 0).all()
    assert (cut > 0).all()


def chest() -> np.ndarray:
    """A drawing of a chest film [96, 80]: dark air and lungs, a bright spine and abdomen."""
    rows, columns = np.mgrid[0:96, 0:80]
    body = ((rows > 12 + np.abs(columns - 40) / 3) & (np.abs(columns - 40) < 34)) * 0.65
    for centre in (26, 54):
        body = np.where(((rows - 45) / 26) ** 2 + ((columns - centre) / 10) ** 2 < 1, 0.25, body)
    return np.where((np.abs(columns - 40) < 5) & (rows > 8), 0.9, body)


@pytest.mark.parametrize(
    ("photometric", "lies", "note"),
    [
        ("MONOCHROME2", False, ()),
        ("MONOCHROME1", False, ()),
        ("MONOCHROME1", True, ("looks inverted: the tag MONOCHROME1 may lie",)),
        ("MONOCHROME2", True, ("looks inverted",)),
    ],
)
def test_a_lying_photometric_tag_is_noted_and_not_mended(
    photometric: str, lies: bool, note: tuple[str, ...], tmp_path: Path
) -> None:
    stored = np.rint((1 - chest() if (photometric == "MONOCHROME1") != lies else chest()) * 4095).astype(int)
    dataset = film(stored, 12, PhotometricInterpretation=photometric, WindowCenter=2048, WindowWidth=4096)
    picture = load_picture(save(dataset, tmp_path / "film.dcm"), Rendering(80, "stretch"))
    assert picture.notes == note
    assert (picture.pixels[70, 40] < picture.pixels[2, 2]) == lies


def test_polarity_of_every_real_film(shared_data: Path) -> None:
    wrong = 0
    for path in sorted((shared_data / "films" / "images").glob("*.png")):
        shown = read_film(path)
        wrong += looks_inverted(shown) + (not looks_inverted(shown.negative))
    assert wrong == 0


def test_noise_and_blanks_have_no_polarity() -> None:
    noise = np.random.default_rng(0).uniform(size=(64, 64)).astype(np.float32)
    assert not looks_inverted(Film(noise))
    assert not looks_inverted(Film(np.ones((64, 64), dtype=np.float32)))
    assert not looks_inverted(Film(np.zeros((3, 1), dtype=np.float32)))
    speck = np.zeros((64, 64), dtype=np.uint8)
    speck[:2, :2] = 1
    for blank in (Film(speck), Film(255 - speck), Film((speck / 255).astype(np.float32))):
        assert polarity(blank) == 0


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_a_picture_inside_that_is_larger_than_the_header_says(syntax: str, tmp_path: Path) -> None:
    dataset = film(np.zeros((64, 64), dtype=int))
    dataset.compress(syntax)
    dataset.Rows = 32
    with pytest.raises(UnreadableImageError, match="the picture inside is 64 x 64"):
        read(dataset, tmp_path)


def test_a_picture_inside_without_a_frame(tmp_path: Path) -> None:
    dataset = film(np.zeros((64, 64), dtype=int), 8)
    dataset.compress(JPEGLSLossless)
    dataset.PixelData = dataset.PixelData.replace(b"\xff\xf7", b"\xff\xe7")
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    with pytest.raises(UnreadableImageError, match="no frame header"):
        read(dataset, tmp_path)


def test_a_deflated_file_that_inflates_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(film(RAMP, syntax="1.2.840.10008.1.2.1.99", **IDENTITY), tmp_path / "film.dcm")
    np.testing.assert_allclose(read_film(path).pixels, np.clip(RAMP / 400, 0, 1), atol=1e-6)
    monkeypatch.setattr("core.data.dicom.MAX_BYTES", 100_000)
    content = path.read_bytes()
    begins = content.index(b"1.2.840.10008.1.2.1.99")
    group = 144 + int.from_bytes(content[140:144], "little")
    assert begins < group
    path.write_bytes(content[:group] + deflated(b"\0" * 1_000_000))
    with pytest.raises(UnreadableImageError, match="inflates to more than any film"):
        read_film(path)


@pytest.mark.parametrize("how", ["without a preamble", "twice"])
def test_a_deflated_file_that_hides_how_it_inflates(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pydicom by itself would inflate either to whatever it becomes."""
    inflate, most = zlib.decompress, 0

    def watched(*arguments: Any, **settings: Any) -> bytes:
        nonlocal most
        plain = inflate(*arguments, **settings)
        most = max(most, len(plain))
        return plain

    monkeypatch.setattr(zlib, "decompress", watched)
    monkeypatch.setattr("core.data.dicom.MAX_BYTES", 100_000)
    path = save(film(RAMP, syntax="1.2.840.10008.1.2.1.99", **IDENTITY), tmp_path / "film.dcm")
    content = path.read_bytes()
    meta = content[132 : 144 + int.from_bytes(content[140:144], "little")]
    bomb = meta + deflated(b"\0" * 1_000_000)
    path.write_bytes(bomb if how == "without a preamble" else content[:132] + meta + deflated(bomb))
    with pytest.raises(UnreadableImageError, match=r"inflates to more than any film|damaged"):
        read_film(path)
    assert most == 0


def deflated(content: bytes) -> bytes:
    """Content as it stands in a deflated DICOM file."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def test_a_colour_film_has_no_window(tmp_path: Path) -> None:
    dataset: Dataset = film(np.zeros((1, 2), dtype=int), 8, WindowCenter=10, WindowWidth=2)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.PixelData = bytes([51] * 3 + [102] * 3)
    np.testing.assert_allclose(read(dataset, tmp_path), [[0.2, 0.4]], atol=1e-6)
