"""Films at another size, against Pillow; and pixels that are read where they lie."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.stats import moment

from core.data.compiled import extremes, histogram, moments
from core.data.pixels import values
from core.data.resize import NO_LINE, resized, straight
from core.data.types import Film

RANDOM = np.random.default_rng(5)
# Source and result: shrunk by much and by little, enlarged, either at once, to one pixel, lines of one pixel.
SHAPES = [
    ((301, 240), (64, 51)),
    ((67, 90), (64, 89)),
    ((20, 31), (45, 60)),
    ((300, 7), (10, 64)),
    ((50, 40), (1, 1)),
    ((1, 33), (8, 8)),
    ((96, 96), (96, 96)),
]


def by_pillow(grey: np.ndarray, shape: tuple[int, int], box: tuple[float, float, float, float]) -> np.ndarray:
    top, left, bottom, right = box
    image = Image.fromarray(grey.astype(np.float32))
    return np.asarray(image.resize(shape[::-1], Image.Resampling.BILINEAR, box=(left, top, right, bottom)))


@pytest.mark.parametrize(("source", "shape"), SHAPES)
def test_resizing_is_pillows(source: tuple[int, int], shape: tuple[int, int]) -> None:
    grey = RANDOM.random(source, dtype=np.float32)
    height, width = source
    for box in ((0, 0, height, width), (0.05 * height, 0.25 * width, 0.9 * height, 0.85 * width)):
        shown = resized(Film(grey), shape, box)
        assert shown.dtype == np.float32
        np.testing.assert_allclose(shown, by_pillow(grey, shape, box), atol=3e-6)


@pytest.mark.parametrize(("source", "shape"), SHAPES)
def test_bytes_are_rounded_once(source: tuple[int, int], shape: tuple[int, int]) -> None:
    grey = RANDOM.integers(0, 256, source, dtype=np.uint8)
    shown = resized(Film(grey), shape, (0, 0, *source))
    assert shown.dtype == np.uint8
    assert np.abs(shown - by_pillow(grey, shape, (0, 0, *source))).max() < 0.5001


@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "i4", "u4", "i8"])
def test_what_is_looked_up_is_shown(kind: str) -> None:
    low = -300 if np.dtype(kind).kind == "i" else 0
    table = RANDOM.random(200, dtype=np.float32)
    stored = RANDOM.integers(low, low + 200, (150, 99)).astype(kind)
    expected = by_pillow(table[stored.astype(int) - low], (20, 17), (0, 0, 150, 99))
    read_only = stored.copy()
    read_only.flags.writeable = False
    for same in (stored, read_only, np.asfortranarray(stored), np.repeat(stored, 2, axis=1)[:, ::2]):
        np.testing.assert_allclose(resized(Film(same, table, low), (20, 17), (0, 0, 150, 99)), expected, atol=3e-6)


@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "i4", "i8"])
@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize(("centre", "width"), [(90, 60.5), (0, 300), (100, 1e5), (5, 4)])
def test_a_window_is_worked_out_as_it_would_be_looked_up(centre: float, width: float, down: bool, kind: str) -> None:
    low = -90 if np.dtype(kind).kind == "i" else 7
    exact = np.clip((np.arange(200) - centre) / width + 0.5, 0, 1)
    table = (1 - exact if down else exact).astype(np.float32)
    assert straight(table).slope * (-1 if down else 1) == pytest.approx(1 / width, rel=1e-3)
    stored = RANDOM.integers(low, low + 200, (150, 99)).astype(kind)
    expected = by_pillow(table[stored.astype(int) - low], (20, 17), (0, 0, 150, 99))
    np.testing.assert_allclose(resized(Film(stored, table, low), (20, 17), (0, 0, 150, 99)), expected, atol=4e-6)


def test_a_steep_window_far_from_zero() -> None:
    table = np.clip((np.arange(65_536) - 65_000) / 7, 0, 1).astype(np.float32)
    assert straight(table).slope == pytest.approx(1 / 7)
    stored = RANDOM.integers(64_990, 65_020, (150, 99)).astype(np.uint16)
    expected = by_pillow(table[stored], (20, 17), (0, 0, 150, 99))
    np.testing.assert_allclose(resized(Film(stored, table), (20, 17), (0, 0, 150, 99)), expected, atol=4e-6)


def test_what_is_no_window_is_looked_up() -> None:
    ramp = np.clip(np.linspace(-0.5, 1.5, 4096), 0, 1).astype(np.float32)
    assert straight(ramp) != NO_LINE
    padded, dented, curve = ramp.copy(), ramp.copy(), (1 / (1 + np.exp(-8 * (ramp - 0.5)))).astype(np.float32)
    padded[-1] = 0
    dented[2048] += 3e-6
    steps = (np.arange(4096) > 2000).astype(np.float32)
    for table in (padded, dented, curve, steps, ramp[:1], ramp[::-1] * ramp, np.zeros(9, np.float32)):
        assert straight(table) == NO_LINE


def test_an_even_film_stays_as_it_is_to_the_bit() -> None:
    for grey in (0, 1, 77, 254, 255):
        even = np.full((211, 173), grey, dtype=np.uint8)
        assert set(resized(Film(even), (50, 37), (0, 0, 211, 173)).ravel()) == {grey}
        assert resized(Film(even / np.float32(255)), (50, 37), (0, 0, 211, 173)).max() <= 1


@pytest.mark.parametrize("width", [1, 3, 4, 257])
def test_histogram(width: int) -> None:
    pixels = RANDOM.integers(-5, 20, (31, width))
    np.testing.assert_array_equal(histogram(pixels, -7, 40), np.bincount(pixels.ravel() + 7, minlength=40))


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"])
def test_extremes(kind: str) -> None:
    ends = np.iinfo(kind)
    pixels = RANDOM.integers(ends.min // 2, ends.max // 2, (31, 47), dtype=kind)
    assert extremes(pixels) == (pixels.min(), pixels.max())
    pixels[-1, -1], pixels[0, -1] = ends.min, ends.max
    assert extremes(pixels) == (ends.min, ends.max)
    assert extremes(pixels[::2, ::-3]) == (pixels[::2, ::-3].min(), pixels[::2, ::-3].max())
    with pytest.raises(ValueError, match="no pixels"):
        extremes(pixels[:0])


@pytest.mark.parametrize("step", [(1, 1), (3, 2), (40, 50)])
def test_moments(step: tuple[int, int]) -> None:
    table = RANDOM.random(30, dtype=np.float32)
    stored = RANDOM.integers(-7, 23, (31, 47))
    height, width = -(-31 // step[0]), -(-47 // step[1])
    boxes = np.array([[0, height, 0, width], [0, 1, 0, 1], [height // 2, height, width // 3, width]])
    for film, looked_up in ((Film(stored, table, -7), table), (Film(table[stored + 7]), None)):
        few = table[stored + 7][:: step[0], :: step[1]].astype(np.float64)
        variance, third, means = moments(film.stored, looked_up, film.low, step, boxes)
        assert variance == pytest.approx(moment(few, 2, axis=None), abs=1e-12)
        assert third == pytest.approx(moment(few, 3, axis=None), abs=1e-12)
        np.testing.assert_allclose(means, [few[a:b, c:d].mean() for a, b, c, d in boxes])


@pytest.mark.parametrize(("mode", "kind"), [("L", "u1"), ("I;16", "<u2"), ("I;16B", ">u2"), ("I", "i4"), ("F", "f4")])
def test_pictures_are_read_where_they_lie(mode: str, kind: str) -> None:
    pixels = (RANDOM.random((23, 31)) * (255 if kind == "u1" else 65_535)).astype(kind)
    image = Image.frombytes(mode, (31, 23), pixels.tobytes())
    np.testing.assert_array_equal(values(image), pixels)
    assert values(image).dtype == pixels.dtype


def test_a_picture_that_lies_in_several_pieces() -> None:
    pixels = RANDOM.integers(0, 256, (4100, 4200), dtype=np.uint8)
    np.testing.assert_array_equal(values(Image.fromarray(pixels).copy()), pixels)
