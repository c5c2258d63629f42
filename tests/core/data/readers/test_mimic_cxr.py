"""The MIMIC-CXR reader on a small folder in that layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.data.labels import UNKNOWN
from core.data.manifest import label_columns, validate
from core.data.readers.mimic_cxr import MimicCXR, MimicCXRConfig, mimic_manifest
from core.errors import ConfigError, DataError
from tests.core.data.files import write_gzip_csv, write_png

# subject, study, image, ViewPosition, split
ROWS = [
    ("10000032", "50414267", "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014", "PA", "train"),
    ("10000032", "50414267", "174413ec-4ec4c1f7-34ea26b7-c5f994f8-79ef1962", "LATERAL", "train"),
    ("10000764", "57375967", "096052b7-d256dc40-453a102b-fa7d01c6-1b22c6b4", "AP", "validate"),
    ("10000898", "50771383", "2a280266-c8bae121-54d75383-cac046f4-ca37aa16", "LL", "test"),
    ("10000898", "50771383", "68b5c4b1-227d0485-9cc38c3f-7b84ab51-4b472714", "", "test"),
]
METADATA = ("dicom_id", "subject_id", "study_id", "ViewPosition", "Rows", "StudyDate")
LABELS = ("subject_id", "study_id", "Atelectasis", "Edema")


def write_layout(root: Path) -> Path:
    write_gzip_csv(
        root / "mimic-cxr-2.0.0-metadata.csv.gz", METADATA, [(d, p, s, v, 40, "21800506") for p, s, d, v, _ in ROWS]
    )
    write_gzip_csv(
        root / "mimic-cxr-2.0.0-split.csv.gz",
        ("dicom_id", "study_id", "subject_id", "split"),
        [(d, s, p, split) for p, s, d, _, split in ROWS],
    )
    write_labels(root, [("10000032", "50414267", "1.0", ""), ("10000764", "57375967", "-1.0", "0.0")])
    for seed, (patient, study, image, _, _) in enumerate(ROWS):
        write_png(root / "files" / "p10" / f"p{patient}" / f"s{study}" / f"{image}.jpg", seed)
    return root


def write_labels(root: Path, rows: list[tuple[str, ...]]) -> None:
    write_gzip_csv(root / "mimic-cxr-2.0.0-chexpert.csv.gz", LABELS, rows)


def test_the_layout(tmp_path: Path) -> None:
    manifest = validate(MimicCXR(MimicCXRConfig(root=str(write_layout(tmp_path)))).manifest(tmp_path))
    assert manifest["view"].tolist() == ["frontal", "lateral", "frontal", "lateral", "unknown"]
    assert manifest["image_id"].tolist() == [row[2] for row in ROWS]
    assert manifest["split"].tolist() == [row[4] for row in ROWS]
    assert manifest["path"][1].endswith(f"files/p10/p10000032/s50414267/{ROWS[1][2]}.jpg")
    assert label_columns(manifest) == ["Atelectasis", "Edema"]
    nan = np.nan
    np.testing.assert_array_equal(manifest["Atelectasis"], [1, 1, -1, UNKNOWN, UNKNOWN])
    np.testing.assert_array_equal(manifest["Edema"], [nan, nan, 0, UNKNOWN, UNKNOWN])
    assert "21800506" not in manifest.to_csv()  # the study's date stays where it is


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data.root is not set"):
        MimicCXR(MimicCXRConfig()).identity()
    with pytest.raises(DataError, match=r"no table mimic-cxr-2.0.0-metadata.csv.gz"):
        mimic_manifest(tmp_path, "mimic_cxr", "jpg")
    write_layout(tmp_path)
    with pytest.raises(DataError, match=r"5 of 5 images"):
        mimic_manifest(tmp_path, "mimic_cxr", "dcm")
    write_gzip_csv(tmp_path / "mimic-cxr-2.0.0-split.csv.gz", ("dicom_id", "study_id", "split"), [])
    with pytest.raises(DataError, match=r"no column 'subject_id'"):
        mimic_manifest(tmp_path, "mimic_cxr", "jpg")


def test_an_image_without_a_split_row(tmp_path: Path) -> None:
    write_layout(tmp_path)
    header = ("dicom_id", "study_id", "subject_id", "split")
    write_gzip_csv(tmp_path / "mimic-cxr-2.0.0-split.csv.gz", header, [(ROWS[0][2], ROWS[0][1], ROWS[0][0], "train")])
    with pytest.raises(DataError, match=f"4 images have no row in the split table, the first is {ROWS[1][2]}"):
        mimic_manifest(tmp_path, "mimic_cxr", "jpg")


def test_label_tables_that_cannot_be_right(tmp_path: Path) -> None:
    write_layout(tmp_path)
    write_labels(tmp_path, [("10000032", "50414267", "1.0", ""), ("10000032", "50414267", "0.0", "")])
    with pytest.raises(DataError, match=r"two rows for study 50414267"):
        mimic_manifest(tmp_path, "mimic_cxr", "jpg")
    write_labels(tmp_path, [("10000032", "50414267", "1.0", "maybe")])
    with pytest.raises(DataError, match=r"row 2, column 'Edema': 'maybe' is no label"):
        mimic_manifest(tmp_path, "mimic_cxr", "jpg")


def test_a_truncated_table(tmp_path: Path) -> None:
    table = write_layout(tmp_path) / "mimic-cxr-2.0.0-metadata.csv.gz"
    table.write_bytes(table.read_bytes()[:60])
    with pytest.raises(DataError, match=r"metadata.csv.gz cannot be read"):
        mimic_manifest(tmp_path, "mimic_cxr", "jpg")
