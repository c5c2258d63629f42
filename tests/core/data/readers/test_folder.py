"""The folder reader: what it makes of a good CSV, and what it says of a bad one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.labels import UNKNOWN
from core.data.manifest import label_columns, validate
from core.data.readers.folder import Folder, FolderConfig
from core.errors import ConfigError, DataError
from tests.core.data.files import FIELDS, film_rows, write_csv, write_films, write_png


def read(csv: Path, **settings: object) -> pd.DataFrame:
    return Folder(FolderConfig(csv=str(csv), **settings)).manifest(csv.parent)  # type: ignore[arg-type]


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return write_films(tmp_path, patients=10)


def edited(csv: Path, row: int, column: str, value: object) -> Path:
    """The CSV with one value changed; `row` counts data rows from 0."""
    rows = film_rows(10)
    rows[row][FIELDS.index(column)] = value
    return write_csv(csv, rows)


def test_a_good_csv(csv: Path) -> None:
    manifest = validate(read(csv))
    assert label_columns(manifest) == ["Edema", "Fracture"]
    assert manifest.loc[0, ["patient_id", "study_id", "view", "view_raw"]].tolist() == [
        "p000",
        "s0000",
        "frontal",
        "PA",
    ]
    assert manifest.loc[1, "view"] == "lateral"
    assert manifest.loc[0, "path"] == str(csv.parent / "films/s0000_0.png")
    assert len(manifest) == len(film_rows(10))
    assert manifest.groupby("patient_id")["split"].nunique().max() == 1


def test_missing_column_is_named_with_those_that_are_there(csv: Path) -> None:
    write_csv(csv, [], ["path", "patient", "study_id", "view"])
    with pytest.raises(DataError, match=r"no column 'patient_id'\n.*columns are: path, patient, study_id, view"):
        read(csv)


def test_missing_files_are_counted_and_the_first_ten_listed(csv: Path) -> None:
    films = sorted((csv.parent / "films").glob("*.png"))
    for path in films[:12]:
        path.unlink()
    with pytest.raises(DataError) as caught:
        read(csv)
    assert caught.value.what.startswith(f"12 of {len(films)} images")
    assert caught.value.what.count(".png") == 10


@pytest.mark.parametrize("value", ["2", "yes", "0.5", "nan"])
def test_a_value_that_is_no_label_is_placed(csv: Path, value: str) -> None:
    with pytest.raises(DataError, match=rf"films.csv, row 5, column 'Edema': '{value}' is no label"):
        read(edited(csv, 3, "Edema", value))


def test_uncertain_and_blank_labels(csv: Path) -> None:
    assert read(edited(csv, 3, "Edema", "-1")).loc[3, "Edema"] == -1
    assert np.isnan(read(edited(csv, 3, "Edema", "")).loc[3, "Edema"])


@pytest.mark.parametrize("value", ["../outside.png", "/etc/hostname", "films/../../x.png"])
def test_a_path_may_not_leave_the_root(csv: Path, value: str) -> None:
    write_png(csv.parent.parent / "outside.png", 0)
    with pytest.raises(DataError, match=r"row 4: path .* leads out of"):
        read(edited(csv, 2, "path", value))


def test_a_link_may_not_leave_the_root(csv: Path) -> None:
    outside = csv.parent.parent / "outside.png"
    write_png(outside, 0)
    (csv.parent / "films" / "link.png").symlink_to(outside)
    with pytest.raises(DataError, match=r"leads out of"):
        read(edited(csv, 2, "path", "films/link.png"))


@pytest.mark.parametrize("column", ["path", "patient_id", "study_id"])
def test_a_blank_key_is_placed(csv: Path, column: str) -> None:
    with pytest.raises(DataError, match=f"column '{column}' is blank in row 2"):
        read(edited(csv, 0, column, " "))


def test_a_finding_column_becomes_one_label_per_finding(csv: Path) -> None:
    findings = ["Edema", "todo", "", "Edema, Fracture", "No Finding"]
    rows = [[*row[:4], findings[i % 5]] for i, row in enumerate(film_rows(10))]
    manifest = read(write_csv(csv, rows, [*FIELDS[:4], "finding"]))
    assert label_columns(manifest) == ["Edema", "Fracture", "No Finding"]
    values = manifest[["Edema", "Fracture", "No Finding"]].to_numpy()[:5]
    np.testing.assert_array_equal(values, [[1, 0, 0], [UNKNOWN] * 3, [UNKNOWN] * 3, [1, 1, 0], [0, 0, 1]])


def test_a_csv_without_any_labels_is_refused(csv: Path) -> None:
    write_csv(csv, [row[:4] for row in film_rows(10)], FIELDS[:4])
    with pytest.raises(DataError, match=r"neither label columns nor a column 'finding'"):
        read(csv)


def test_named_label_columns_and_a_split_column(csv: Path) -> None:
    words = {"p000": "Valid", "p001": "test"}
    rows = [[*row, words.get(str(row[1]), "train"), "57"] for row in film_rows(10)]
    manifest = read(write_csv(csv, rows, [*FIELDS, "split", "age"]), label_columns=["Fracture"])
    assert label_columns(manifest) == ["Fracture"]
    assert set(manifest.loc[manifest["patient_id"] == "p000", "split"]) == {"validate"}
    assert validate(manifest)["split"].value_counts().to_dict()["train"] > 10
    rows[0][6] = "holdout"
    with pytest.raises(DataError, match=r"row 2, column 'split': 'holdout' is no split"):
        read(write_csv(csv, rows, [*FIELDS, "split", "age"]), label_columns=["Fracture"])


@pytest.mark.parametrize(
    ("raw", "view"),
    [
        ("PA", "frontal"),
        ("AP", "frontal"),
        ("AP Supine", "frontal"),
        ("AP_horizontal", "frontal"),
        ("Frontal", "frontal"),
        ("L", "lateral"),
        ("LL", "lateral"),
        ("LATERAL", "lateral"),
        ("lateral", "lateral"),
        ("", "unknown"),
        ("COSTAL", "unknown"),
    ],
)
def test_spellings_of_views(csv: Path, raw: str, view: str) -> None:
    assert read(edited(csv, 0, "view", raw)).loc[0, "view"] == view


def test_absent_csv_and_setting() -> None:
    with pytest.raises(ConfigError, match=r"data.csv is not set"):
        Folder(FolderConfig()).identity()
    with pytest.raises(DataError, match=r"nowhere.csv does not exist"):
        Folder(FolderConfig(csv="/nowhere.csv")).identity()


def test_files_that_are_no_csv(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_bytes(bytes(range(128, 256)) * 10)
    with pytest.raises(DataError, match=r"cannot be read as a CSV"):
        read(bad)
    bad.write_text("")
    with pytest.raises(DataError, match=r"cannot be read as a CSV"):
        read(bad)
    bad.write_text("path,patient_id,study_id,view\n")
    with pytest.raises(DataError, match=r"no rows"):
        read(bad)
    bad.write_text("path,patient_id,study_id,view\na,b,c,d,e\n")
    with pytest.raises(DataError, match=r"more values than the header"):
        read(bad)


def test_identity_follows_the_content_and_not_the_place(csv: Path, tmp_path: Path) -> None:
    first = Folder(FolderConfig(csv=str(csv))).identity()
    moved = tmp_path / "elsewhere" / "renamed.csv"
    moved.parent.mkdir()
    moved.write_bytes(csv.read_bytes())
    assert Folder(FolderConfig(csv=str(moved))).identity() == first
    assert Folder(FolderConfig(csv=str(edited(csv, 0, "Edema", "")))).identity() != first


def test_the_real_films(shared_data: Path) -> None:
    manifest = validate(read(shared_data / "films" / "films.csv"))
    assert len(manifest) == 263
    assert manifest["patient_id"].nunique() == 95
    assert (manifest.groupby("study_id")["view"].nunique() == 2).sum() == 19
    assert manifest["view"].value_counts().to_dict() == {"frontal": 241, "lateral": 22}
    assert (manifest["COVID-19"] == 1).sum() == 199  # 195 and the 4 of "COVID-19, ARDS"
    assert (manifest["COVID-19"] == UNKNOWN).sum() == 19  # "todo"
