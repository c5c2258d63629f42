"""SIIM-ACR: run lengths that are relative, down the columns, and over several rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.manifest import validate
from core.data.readers.siim import SIIM, SIIMConfig, read_mask
from core.data.regions import box_of, decode, encode, read_regions
from core.errors import DataError
from tests.core.data.readers.layouts import siim_masks, write_siim


def read(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    manifest = SIIM(SIIMConfig(root=str(root))).manifest(root / "built" / "source")
    return validate(manifest).set_index("image_id"), read_regions(root / "built")


def test_rows_are_united_to_one_mask(tmp_path: Path) -> None:
    manifest, regions = read(write_siim(tmp_path))
    assert len(manifest) == 12
    assert manifest.index[manifest["Pneumothorax"] == 1].tolist() == ["1.2.0"]
    assert manifest.loc["1.2.1", ["Pneumothorax", "labels_raw"]].tolist() == [0, "-1"]
    assert manifest.loc["1.2.3", "path"].endswith("dicom-images-train/1.2.3.9/1.2.3.8/1.2.3.dcm")
    (region,) = regions.to_dict("records")
    united = siim_masks()[0] | siim_masks()[1]
    np.testing.assert_array_equal(decode(region["counts"], 1024, 1024), united)
    assert [region[name] for name in ("x0", "y0", "x1", "y1")] == list(box_of(united)) == [300, 100, 509, 240]


def test_a_row_by_hand() -> None:
    """A gap of 2, 3 pixels, a gap of 1024 - 3, 1 pixel: rows 2 to 4 of the first column, row 2 of the second."""
    expected = np.zeros((1024, 1024), bool)
    expected[2:5, 0] = expected[2, 1] = True
    np.testing.assert_array_equal(read_mask("2 3 1021 1", ""), expected)


@pytest.mark.parametrize("text", ["1 2 3", "0 1048577", "1 -2", "a b", "5 5 -3 2"])
def test_run_lengths_that_make_no_sense_are_placed(text: str, tmp_path: Path) -> None:
    table = write_siim(tmp_path) / "train-rle.csv"
    table.write_text(f"ImageId, EncodedPixels\n1.2.1, -1\n1.2.0, {text}\n")
    with pytest.raises(DataError, match=r"train-rle.csv, row 3, column 'EncodedPixels'"):
        read(tmp_path)


def test_encode_and_decode_are_inverse() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = rng.random(rng.integers(1, 9, 2)) < rng.random()
        counts = encode(mask)
        assert sum(counts) == mask.size
        assert all(n > 0 for n in counts[1:])
        np.testing.assert_array_equal(decode(counts, *mask.shape), mask)
    assert encode(np.array([[False, True], [True, True]])) == [1, 3]
    assert encode(np.ones((2, 2), bool)) == [0, 4]


def test_the_second_name_of_the_table(tmp_path: Path) -> None:
    (write_siim(tmp_path) / "train-rle.csv").rename(tmp_path / "stage_2_train.csv")
    assert len(read(tmp_path)[0]) == 12
