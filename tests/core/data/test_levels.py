"""The values of a film: that what is worked out for them is what every pixel would get, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from core.data.levels import Levels, percentiles
from core.data.resize import resized

RANDOM = np.random.default_rng(3)
SHAPE = (191, 257)  # no multiple of anything that is taken together
FILMS = {
    "8 bits": RANDOM.integers(0, 256, SHAPE).astype(np.uint8),
    "16 bits": RANDOM.integers(0, 65536, SHAPE).astype(np.uint16),
    "the other order of bytes": RANDOM.integers(0, 65536, SHAPE).astype(">u2"),
    "signed": RANDOM.integers(-32768, 32768, SHAPE).astype(np.int16),
    "a few far from zero": RANDOM.integers(1_000_000, 1_000_009, SHAPE).astype(np.int32),
    "far apart": RANDOM.integers(-(2**31), 2**31, SHAPE).astype(np.int32),
    "unsigned, 32 bits": np.array([[0, 2**32 - 1], [7, 7]], dtype=np.uint32),
    "luminance": RANDOM.random(SHAPE),
    "one value": np.full((3, 2), 5, dtype=np.uint16),
    "columns first": np.asfortranarray(RANDOM.integers(0, 99, SHAPE)),
}


@pytest.mark.parametrize("name", FILMS)
def test_every_pixel_becomes_what_its_value_does(name: str) -> None:
    film = FILMS[name]
    levels = Levels.of(film)
    values, counts = np.unique(film, return_counts=True)
    np.testing.assert_array_equal(levels.values[levels.present], values.astype(np.float64))
    np.testing.assert_array_equal(levels.counts[levels.present], counts)
    assert (np.diff(levels.values) > 0).all()
    shown = levels.film(np.sin(levels.values / 77.0))
    expected = np.sin(film.astype(np.float64) / 77.0).astype(np.float32)
    for pixels in (shown.pixels, shown.part(slice(None), slice(None)).shades):
        assert pixels.dtype == np.float32
        np.testing.assert_array_equal(pixels, expected)
    # Looked up while it is resized, here to its own size.
    height, width = film.shape
    same = resized(shown, film.shape, (0, 0, height, width))
    np.testing.assert_array_equal(same, np.clip(expected, 0, 1))


@pytest.mark.parametrize("slope", [1.0, 0.37, -2.1])
@pytest.mark.parametrize("name", FILMS)
def test_percentiles_are_those_of_all_pixels(name: str, slope: float) -> None:
    film, levels = FILMS[name], Levels.of(FILMS[name])
    which = (0.0, 0.5, 12.3, 50.0, 99.5, 100.0)
    expected = np.percentile(film.astype(np.float64) * slope + 3.1, which)
    assert percentiles(levels.values * slope + 3.1, levels.counts, which) == expected.tolist()


@pytest.mark.parametrize("place", [(0, 0), (64, 128), (5, 7), (190, 256)])
def test_whether_pixels_differ_hangs_on_each_that_is_no_padding(place: tuple[int, int]) -> None:
    film = np.full(SHAPE, 3, dtype=np.uint16)
    film[place] = 9
    levels = Levels.of(film)
    everywhere, padded = np.ones(len(levels.values), dtype=bool), levels.values != 9
    assert levels.differ(levels.values, everywhere)
    assert not levels.differ(levels.values, padded)
    # Values between the two, which no pixel has, make no difference.
    assert not levels.differ(np.where(levels.values == 5, 1.0, 0.0), everywhere)
