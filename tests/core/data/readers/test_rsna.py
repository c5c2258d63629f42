"""RSNA pneumonia: several rows an image, and patients that only the mapping to ChestX-ray14 knows."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from core.data.labels import UNKNOWN
from core.data.manifest import validate
from core.data.readers.rsna import MAPPING, RSNA, RSNAConfig
from core.errors import DataError
from tests.core.data.files import write_csv
from tests.core.data.readers.layouts import RSNA_HEADER, write_rsna


def read(root: Path) -> pd.DataFrame:
    return validate(RSNA(RSNAConfig(root=str(root))).manifest(root / "source")).set_index("image_id")


def test_rows_are_united_to_images(tmp_path: Path) -> None:
    manifest = read(write_rsna(tmp_path))
    assert len(manifest) == 12
    positive = [f"image{n}" for n in (0, 4, 8)]
    assert manifest.index[manifest["Pneumonia"] == 1].tolist() == positive
    assert manifest.index[manifest["Lung Opacity"] == 1].tolist() == positive
    assert manifest.loc["image1", ["No Finding", "labels_raw"]].tolist() == [1, "Target=0|Normal"]
    assert manifest.loc["image2", "No Finding"] == 0


def test_boxes(tmp_path: Path) -> None:
    boxes = RSNA(RSNAConfig(root=str(write_rsna(tmp_path)))).read(tmp_path).regions
    assert boxes["image_id"].tolist() == ["image0", "image0", "image4", "image8"]
    assert boxes.loc[0, ["x0", "y0", "x1", "y1", "height", "width"]].tolist() == [500, 100, 550, 180, 1024, 1024]
    assert set(boxes["label"]) == {"Lung Opacity"}


def test_without_the_classes_there_is_no_label_of_none(tmp_path: Path) -> None:
    (write_rsna(tmp_path) / "stage_2_detailed_class_info.csv").unlink()
    assert "No Finding" not in read(tmp_path).columns


def test_the_mapping_tells_who_is_one_patient(tmp_path: Path) -> None:
    write_rsna(tmp_path)
    entries = [{"subset_img_id": f"image{n}", "img_id": f"{n // 2:08d}_{n:03d}.png"} for n in range(12)]
    (tmp_path / MAPPING).write_text(json.dumps(entries))
    manifest = read(tmp_path)
    assert manifest["patient_id"].tolist() == [f"{n // 2:08d}" for n in range(12)]
    (tmp_path / MAPPING).write_text(json.dumps(entries[:-1]))
    with pytest.raises(DataError, match=f"{MAPPING} lacks 'image11'"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["a", 1, 2, 3, 4, 0], "row 2: Target is '0' and its box is there"),
        (["a", "", "", "", "", 1], "row 2: Target is '1' and its box is not"),
        (["a", 1, 2, "", 4, 1], "row 2: Target is '1' and its box is not"),
        (["a", 1, 2, 3, 4, "yes"], "row 2: Target is 'yes'"),
        (["a", 1, "two", 3, 4, 1], "row 2, column 'y': 'two' is no number"),
    ],
)
def test_rows_that_make_no_sense_are_placed(row: list[object], message: str, tmp_path: Path) -> None:
    write_csv(write_rsna(tmp_path) / "stage_2_train_labels.csv", [row], RSNA_HEADER)
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_a_class_that_is_not_given_stays_unknown(tmp_path: Path) -> None:
    write_csv(write_rsna(tmp_path) / "stage_2_detailed_class_info.csv", [["image1", "Normal"]], ("patientId", "class"))
    manifest = read(tmp_path)
    assert manifest.loc["image1", "No Finding"] == 1
    assert manifest.loc["image2", "No Finding"] == UNKNOWN
