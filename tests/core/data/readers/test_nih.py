"""NIH ChestX-ray14: its broken headers, its official split, and its real tables where they are at hand."""

from __future__ import annotations

import csv
import gzip
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from core.data.manifest import validate
from core.data.readers.nih import NIH, NIHConfig
from core.data.readers.public import check_published, count_rows
from core.data.readers.vocabulary import main_label
from core.errors import DataError
from tests.core.data.readers.layouts import nih_names, write_nih


def test_the_table_is_read_by_name(tmp_path: Path) -> None:
    rows = NIH(NIHConfig(root=str(write_nih(tmp_path)))).read(tmp_path).rows
    first, second = rows.iloc[0], rows.iloc[1]
    assert first[["patient_id", "study_id", "image_id"]].tolist() == ["00000001", "00000001_000", "00000001_000.png"]
    assert first[["view", "view_raw", "labels_raw"]].tolist() == ["frontal", "PA", "No Finding"]
    assert first["file"] == "images_001/images/00000001_000.png"
    assert second["file"] == "images_002/images/00000001_001.png"
    assert second[["Pleural Effusion", "Infiltration", "No Finding", "Mass"]].tolist() == [1, 1, 0, 0]
    assert rows.iloc[2][["Mass", "Lung Lesion", "Nodule"]].tolist() == [1, 1, 0]
    assert rows.iloc[3][["Pleural Thickening", "Hernia"]].tolist() == [1, 1]


def test_the_official_split_and_what_no_list_names(tmp_path: Path) -> None:
    write_nih(tmp_path)
    rows = NIH(NIHConfig(root=str(tmp_path))).read(tmp_path).rows.set_index("image_id")
    assert (rows.loc[nih_names()[18:], "split"] == "test").all()
    assert set(rows.loc[nih_names()[:18], "split"]) == {"train", "validate"}
    assert rows.groupby("patient_id")["split"].nunique().max() == 1
    (tmp_path / "train_val_list.txt").write_text("\n".join(nih_names()[2:18]))
    manifest = validate(NIH(NIHConfig(root=str(tmp_path))).manifest(tmp_path / "source"))
    assert set(nih_names()) - set(manifest["image_id"]) == set(nih_names()[:2])
    (tmp_path / "test_list.txt").unlink()
    with pytest.raises(DataError, match=r"has no test_list.txt\n.*data.split=patient"):
        NIH(NIHConfig(root=str(tmp_path))).identity()
    by_patient = NIH(NIHConfig(root=str(tmp_path), split="patient")).manifest(tmp_path / "source")
    assert len(validate(by_patient)) == 24


def test_boxes(tmp_path: Path) -> None:
    boxes = NIH(NIHConfig(root=str(write_nih(tmp_path)))).read(tmp_path).regions
    assert boxes[["label", "label_raw"]].to_numpy().tolist() == [["Infiltration", "Infiltrate"], ["Mass", "Mass"]]
    assert boxes.loc[1, ["x0", "y0", "x1", "y1", "height", "width"]].tolist() == [10, 20, 40, 60, 1024, 1024]
    (tmp_path / "BBox_List_2017.csv").unlink()
    assert NIH(NIHConfig(root=str(tmp_path))).read(tmp_path).regions.empty


def test_a_box_that_is_no_number_is_placed(tmp_path: Path) -> None:
    table = write_nih(tmp_path) / "BBox_List_2017.csv"
    table.write_text(table.read_text().replace("30,40", "30,wide"))
    with pytest.raises(DataError, match=r"BBox_List_2017.csv, row 3, column 'h\]': 'wide' is no number"):
        NIH(NIHConfig(root=str(tmp_path))).read(tmp_path)


def test_the_real_tables(shared_data: Path, tmp_path: Path) -> None:
    """Counts by csv and a Counter; 112,120 images, 30,805 patients and 984 boxes are also what was published."""
    for name in ("Data_Entry_2017_v2020.csv.gz", "BBox_List_2017.csv.gz"):
        shutil.copy(shared_data / "tables" / name, tmp_path)
    source = NIH(NIHConfig(root=str(tmp_path), split="patient")).read(tmp_path)
    rows = source.rows
    assert (len(rows), rows["patient_id"].nunique(), rows["image_id"].is_unique) == (112_120, 30_805, True)
    assert rows["view"].unique().tolist() == ["frontal"]
    assert rows["view_raw"].value_counts().to_dict() == {"PA": 67_310, "AP": 44_810}
    assert check_published("nih", count_rows(source), NIH.PUBLISHED) == []
    assert source.outside == {}
    with gzip.open(tmp_path / "Data_Entry_2017_v2020.csv.gz", "rt") as handle:
        next(handle)
        counts = Counter(word for row in csv.reader(handle) for word in row[1].split("|"))
    assert {main_label(word): n for word, n in counts.items()} == {
        name: int(rows[name].sum()) for name in rows.columns[-18:] if name in {main_label(w) for w in counts}
    }
    assert counts["Hernia"] == rows["Hernia"].sum() == 227
    lesions = rows["labels_raw"].str.contains("Mass|Nodule", regex=True)
    np.testing.assert_array_equal(rows["Lung Lesion"] == 1, lesions)
    assert source.regions["image_id"].nunique() == 880
    assert source.regions["label"].nunique() == 8
    assert (source.regions["label"] == "Infiltration").sum() == 123
    assert source.regions["image_id"].isin(rows["image_id"]).all()
    shares = rows.groupby("patient_id")["split"].first().value_counts(normalize=True)
    assert shares.round(3).to_dict() == {"train": 0.7, "test": 0.2, "validate": 0.1}
