"""One vocabulary: what a word stands for, and where boxes lie once a film is squared."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core.data.labels import UNKNOWN
from core.data.pixels import square
from core.data.readers.vocabulary import SPELLINGS, label_table, labels_of, main_label, outside, plain
from core.data.regions import square_boxes
from core.data.types import Film


@pytest.mark.parametrize(
    ("word", "labels", "main"),
    [
        ("Effusion", {"Pleural Effusion"}, "Pleural Effusion"),
        ("Pleural_Thickening", {"Pleural Thickening", "Pleural Other"}, "Pleural Thickening"),
        ("MASS", {"Mass", "Lung Lesion"}, "Mass"),
        ("Nodule/Mass", {"Lung Lesion"}, "Lung Lesion"),
        ("ILD", {"Interstitial Lung Disease"}, "Interstitial Lung Disease"),
        ("hydropneumothorax", {"Pneumothorax", "Pleural Effusion"}, "Pleural Effusion"),
        ("normal", {"No Finding"}, "No Finding"),
        ("Other lesion", set(), "Other lesion"),
    ],
)
def test_words(word: str, labels: set[str], main: str) -> None:
    assert set(labels_of(word)) == labels
    assert main_label(word) == main


def test_every_label_stands_for_itself_and_no_spelling_is_there_twice() -> None:
    for label, spellings in SPELLINGS.items():
        assert label in labels_of(label)
        assert len({plain(label), *spellings}) == 1 + len(spellings), label
        assert all(plain(word) == word for word in spellings), label


def test_columns_do_not_depend_on_the_rows() -> None:
    raw = pd.Series(["mass|odd", "", "normal"], index=[4, 2, 9])
    table = label_table(raw, lambda text: text.split("|") if text else None, ["Mass", "Hernia", "No Finding"])
    assert table.index.tolist() == [4, 2, 9]
    np.testing.assert_array_equal(table.to_numpy(), [[1, 0, 0], [UNKNOWN] * 3, [0, 0, 1]])
    assert outside(raw, lambda text: text.split("|"), ["No Finding"]) == {"mass": 1, "odd": 1, "": 1}


@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("frame", [(90, 60), (60, 90), (80, 80), (91, 64)])
def test_a_box_moves_with_the_picture(resize: str, frame: tuple[int, int]) -> None:
    """The box of a painted rectangle, squared, is where the squared picture is bright, to a pixel."""
    film = np.zeros(frame, dtype=np.float32)
    film[30:52, 25:47] = 1
    x0, y0, x1, y1 = square_boxes(np.array([[25.0, 30, 47, 52]]), frame, 48, resize)[0]
    rows, columns = np.nonzero(square(Film(film), 48, resize) >= 0.5)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose([x0, y0, x1, y1], seen, atol=0.75)
