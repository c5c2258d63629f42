"""CheXpert: small, full and full in its four batches."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.manifest import label_columns, validate
from core.data.readers.chexpert import CheXpert, CheXpertConfig
from core.data.types import CHEXPERT_LABELS
from core.errors import DataError
from tests.core.data.files import write_csv
from tests.core.data.readers.layouts import CHEXPERT_HEADER, chexpert_rows, write_chexpert


def read(root: Path) -> pd.DataFrame:
    return validate(CheXpert(CheXpertConfig(root=str(root))).manifest(root / "source"))


def test_views_labels_and_the_official_split(tmp_path: Path) -> None:
    manifest = read(write_chexpert(tmp_path)).set_index("image_id")
    contradicting = manifest.loc["patient00001/study1/view1_frontal"]
    assert contradicting[["view", "view_raw"]].tolist() == ["unknown", "Frontal LL"]
    assert manifest.loc["patient00002/study1/view1_frontal", ["view", "view_raw"]].tolist() == ["frontal", "Frontal AP"]
    assert manifest.loc["patient00002/study1/view2_lateral", ["view", "view_raw"]].tolist() == ["lateral", "Lateral"]
    assert label_columns(manifest) == list(CHEXPERT_LABELS)
    np.testing.assert_array_equal(contradicting[list(CHEXPERT_LABELS[:4])].astype(float), [1, 0, -1, np.nan])
    test = manifest[manifest["split"] == "test"]
    assert set(test["patient_id"]) == {"patient64541", "patient64542"}
    assert manifest["study_id"].nunique() == 12


@pytest.mark.parametrize("below", [False, True])
def test_small_and_full_differ_in_a_name_only(below: bool, tmp_path: Path) -> None:
    small = read(write_chexpert(tmp_path / "small"))
    root = tmp_path / "full"
    write_chexpert(root / "CheXpert-v1.0" if below else root, "CheXpert-v1.0")
    full = read(root)
    pd.testing.assert_frame_equal(small.drop(columns="path"), full.drop(columns="path"))
    assert full.loc[0, "path"].endswith("/train/patient00001/study1/view1_frontal.jpg")


def test_the_four_batches_of_the_full_release(tmp_path: Path) -> None:
    whole = read(write_chexpert(tmp_path / "whole", "CheXpert-v1.0"))
    root = tmp_path / "batches"
    first = write_chexpert(root / "CheXpert-v1.0 batch 1 (validate & csv)", "CheXpert-v1.0")
    for number, patient in enumerate(sorted((first / "train").iterdir())):
        batch = root / f"CheXpert-v1.0 batch {2 + number % 3} (train {1 + number % 3})"
        batch.mkdir(exist_ok=True)
        shutil.move(patient, batch / patient.name)
    (first / "train").rmdir()
    found = read(root)
    pd.testing.assert_frame_equal(found.drop(columns="path"), whole.drop(columns="path"))
    assert "batch 3 (train 2)/patient00002/study1/" in found.loc[2, "path"]


@pytest.mark.parametrize(
    "path",
    ["CheXpert-v1.0-small/train/../../secret.jpg", "/etc/passwd", "CheXpert-v1.0-small/valid/patient1/study1/a.jpg"],
)
def test_a_path_of_another_form_is_placed(path: str, tmp_path: Path) -> None:
    rows = chexpert_rows("train", range(1, 11), "CheXpert-v1.0-small")
    rows[3][0] = path
    write_csv(write_chexpert(tmp_path) / "train.csv", rows, CHEXPERT_HEADER)
    with pytest.raises(DataError, match=r"train.csv, row 5, column 'Path': .* is no path of the data set"):
        read(tmp_path)


def test_two_releases_in_one_folder_are_not_guessed_between(tmp_path: Path) -> None:
    for release in ("CheXpert-v1.0", "CheXpert-v1.0-small"):
        write_chexpert(tmp_path / release, release)
    with pytest.raises(DataError, match=r"several folders .* CheXpert-v1.0 and CheXpert-v1.0-small"):
        read(tmp_path)
