"""VinDr-CXR: three readers, what they agree on, and boxes in pixels of films whose size no table tells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.consensus import fuse, iou
from core.data.manifest import validate
from core.data.readers.vindr import VinDr, VinDrConfig
from core.data.regions import CORNERS, read_regions
from core.errors import DataError
from tests.core.data.files import write_csv
from tests.core.data.readers.layouts import VINDR_HEADER, write_dicom, write_vindr


def read(root: Path, **settings: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Manifest by image, and regions."""
    reader = VinDr(VinDrConfig(root=str(root), **settings))  # type: ignore[arg-type]
    manifest = validate(reader.manifest(root / "built" / "source"))
    return manifest.set_index("image_id"), read_regions(root / "built")


def test_labels_are_what_readers_agree_on(tmp_path: Path) -> None:
    manifest, _ = read(write_vindr(tmp_path))
    seen, healthy = manifest.loc[f"{0:032x}"], manifest.loc[f"{1:032x}"]
    assert seen[["Cardiomegaly", "Lung Lesion", "No Finding", "Atelectasis"]].tolist() == [1, -1, 0, 0]
    assert healthy[["Cardiomegaly", "Lung Lesion", "No Finding"]].tolist() == [0, 0, 1]
    assert seen["labels_raw"] == "R10:Nodule/Mass|R8:Cardiomegaly|R9:Cardiomegaly"
    assert read(tmp_path, agree=1)[0].loc[f"{0:032x}", "Lung Lesion"] == 1
    assert read(tmp_path, agree=3)[0].loc[f"{0:032x}", "Cardiomegaly"] == -1


def test_boxes_by_reader_and_by_consensus(tmp_path: Path) -> None:
    _, boxes = read(write_vindr(tmp_path))
    mine = boxes[boxes["image_id"] == f"{0:032x}"].set_index("reader")
    assert sorted(mine.index) == ["R10", "R8", "R9", "consensus"]
    assert mine.loc["R9", list(CORNERS)].tolist() == [12, 10, 22, 20]
    assert mine.loc["consensus", list(CORNERS)].tolist() == [11, 10, 21, 20]
    assert mine.loc["R10", ["label", "label_raw"]].tolist() == ["Lung Lesion", "Nodule/Mass"]
    assert set(zip(boxes["height"], boxes["width"], strict=True)) == {(40, 32)}
    apart = read(tmp_path, overlap=0.7)[1]  # the two overlap by 8 x 10 of 12 x 10 px, 0.667
    assert "consensus" not in set(apart["reader"])


def test_the_release_of_physionet_has_an_official_test(tmp_path: Path) -> None:
    table = write_vindr(tmp_path) / "train.csv"
    (tmp_path / "annotations").mkdir()
    table.rename(tmp_path / "annotations" / "annotations_train.csv")
    header = ("image_id", "class_name", "x_min", "y_min", "x_max", "y_max")
    rows = [["a", "Pneumothorax", 1, 2, 9, 9], ["b", "No finding", "", "", "", ""]]
    write_csv(tmp_path / "annotations" / "annotations_test.csv", rows, header)
    for seed, image in enumerate("ab"):
        write_dicom(tmp_path / "test" / f"{image}.dicom", seed)
    manifest, boxes = read(tmp_path)
    assert set(manifest.index[manifest["split"] == "test"]) == {"a", "b"}
    assert manifest.loc["a", ["Pneumothorax", "No Finding"]].tolist() == [1, 0]
    assert manifest.loc["b", ["Pneumothorax", "No Finding"]].tolist() == [0, 1]
    assert boxes.loc[boxes["image_id"] == "a", "reader"].tolist() == ["consensus"]


FILMS = ("Cardiomegaly", "Edema", "Nodule/Mass", "Lung tumor", "Pneumonia", "Other diseases", "No finding")


def write_physionet(root: Path) -> Path:
    """The layout of PhysioNet, with what readers say of whole films."""
    write_vindr(root)
    folder = root / "annotations"
    folder.mkdir()
    (root / "train.csv").rename(folder / "annotations_train.csv")
    header = ("image_id", "class_name", "x_min", "y_min", "x_max", "y_max")
    write_csv(
        folder / "annotations_test.csv", [["a", "Cardiomegaly", 1, 2, 9, 9], ["b", "No finding", *[""] * 4]], header
    )
    for seed, image in enumerate("ab"):
        write_dicom(root / "test" / f"{image}.dicom", seed)
    rows = []
    for number in range(15):
        # Pneumonia by all three, edema by one, a tumour by the last two; nothing at all by one reader, or by all.
        ill = [[1, 0, 0, 0, 1, 1, 0], [0, 1, 0, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0, 0]]
        well = [[0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, "", 1]]
        said = (ill, well, [[0] * 7] * 3)[number % 3]
        rows += [[f"{number:032x}", f"R{8 + k}", *said[k]] for k in range(3)]
    write_csv(folder / "image_labels_train.csv", rows, ("image_id", "rad_id", *FILMS))
    test = [["a", 1, 0, 0, 0, 1, 0, 0], ["b", 0, 0, 0, 0, 0, 0, "1.0"]]
    write_csv(folder / "image_labels_test.csv", test, ("image_id", *FILMS[:5], "Other disease", "No finding"))
    return root


def test_labels_of_films_count_where_physionet_has_them(tmp_path: Path) -> None:
    manifest, boxes = read(write_physionet(tmp_path))
    ill, well = manifest.loc[f"{0:032x}"], manifest.loc[f"{1:032x}"]
    names = ["Pneumonia", "Edema", "Lung Lesion", "Cardiomegaly", "No Finding", "Tuberculosis"]
    assert ill[names].tolist() == [1, -1, 1, -1, 0, 0]
    assert well[names].tolist() == [0, 0, 0, 0, 1, 0]
    assert well["labels_raw"] == "R10:No finding|R8:No finding"
    silent = manifest.loc[f"{2:032x}"]
    assert silent[names].tolist() == [0] * 6
    assert silent["labels_raw"] == ""
    assert manifest.loc["a", names].tolist() == [1, 0, 0, 1, 0, 0]
    assert manifest.loc["b", names].tolist() == [0, 0, 0, 0, 1, 0]
    # Boxes come from the annotations as before.
    assert sorted(boxes.loc[boxes["image_id"] == f"{0:032x}", "reader"]) == ["R10", "R8", "R9", "consensus"]
    source = json.loads((tmp_path / "built" / "source" / "source.json").read_text())
    assert source["words_outside_the_vocabulary"] == {"Other diseases": 5}
    assert source["counts"]["rows of train"] == 45


def test_labels_of_films_are_part_of_what_the_data_set_is(tmp_path: Path) -> None:
    reader = VinDr(VinDrConfig(root=str(write_physionet(tmp_path))))
    before = reader.identity()
    path = tmp_path / "annotations" / "image_labels_train.csv"
    path.write_text(path.read_text().replace("R9,0,1,", "R9,1,1,"))
    assert reader.identity() != before


def test_labels_of_films_of_one_part_alone_are_an_error(tmp_path: Path) -> None:
    (write_physionet(tmp_path) / "annotations" / "image_labels_test.csv").unlink()
    with pytest.raises(DataError, match=r"has no annotations/image_labels_test.csv, but that of the other part"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (("No finding", 14, 1, 2, 3, 4), r"train.csv, row 2: No finding with .*of \[1.0, 2.0, 3.0, 4.0\]"),
        (("Edema", 3, 1, 2, "", 4), r"train.csv, row 2: Edema with .*of \[1.0, 2.0, nan, 4.0\]"),
    ],
)
def test_half_boxes_are_placed(said: tuple[object, ...], message: str, tmp_path: Path) -> None:
    rows = [["a", said[0], said[1], "R1", *said[2:]]]
    write_csv(write_vindr(tmp_path) / "train.csv", rows, VINDR_HEADER)
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_a_box_on_a_film_of_unknown_size_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (write_vindr(tmp_path) / "train" / f"{0:032x}.dicom").write_bytes(b"no DICOM")
    _, boxes = read(tmp_path)
    assert f"{0:032x}" not in set(boxes["image_id"])
    assert "4 regions are left out" in caplog.text


def painted(box: np.ndarray) -> np.ndarray:
    grid = np.zeros((30, 30), bool)
    x0, y0, x1, y1 = box.astype(int)
    grid[y0:y1, x0:x1] = True
    return grid


def test_iou_is_that_of_painted_pixels() -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 15, (40, 2))
    boxes = np.hstack([corners, corners + rng.integers(1, 15, (40, 2))]).astype(float)
    expected = [(painted(boxes[0]) & painted(b)).sum() / (painted(boxes[0]) | painted(b)).sum() for b in boxes]
    np.testing.assert_allclose(iou(boxes[0], boxes), expected)


def test_fusing_counts_readers_and_not_boxes() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 12], [1, 0, 11, 10], [50, 50, 60, 60]], float)
    two = fuse(boxes, ["A", "A", "B", "B"], 0.5, agree=2)
    np.testing.assert_allclose(two, [[0.5, 0, 10.5, 10.5]])  # A's mean [0, 0, 10, 11], then the mean with B's
    assert len(fuse(boxes, ["A", "A", "A", "B"], 0.5, agree=2)) == 0
    assert len(fuse(boxes, ["A", "A", "B", "B"], 0.5, agree=1)) == 2
