"""Open-i: views from the projections, MeSH headings, and three ways to name one film."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from core.data.labels import UNKNOWN
from core.data.manifest import reports_of, validate
from core.data.readers.openi import OpenI, OpenIConfig, film
from core.errors import DataError
from tests.core.data.readers.layouts import write_openi


def read(root: Path) -> pd.DataFrame:
    return validate(OpenI(OpenIConfig(root=str(root))).manifest(root / "source")).set_index("image_id")


def test_views_and_headings(tmp_path: Path) -> None:
    manifest = read(write_openi(tmp_path))
    assert len(manifest) == 20
    assert manifest.loc["0_IM-0000-1001", ["study_id", "view", "view_raw", "No Finding"]].tolist() == [
        "0",
        "frontal",
        "Frontal",
        1,
    ]
    assert manifest.loc["0_IM-0000-2001", "view"] == "lateral"
    assert manifest.loc["1_IM-0001-1001", ["Cardiomegaly", "Pleural Effusion", "No Finding"]].tolist() == [1, 1, 0]
    assert manifest.loc["3_IM-0003-1001", ["Fracture", "Lung Opacity"]].tolist() == [1, 1]
    assert manifest.loc["4_IM-0004-1001", "Support Devices"] == 1
    assert (manifest.loc["2_IM-0002-1001", ["No Finding", "Cardiomegaly"]] == UNKNOWN).all()


def test_an_image_without_a_report_is_left_out(tmp_path: Path) -> None:
    read(write_openi(tmp_path))
    left_out = pd.read_csv(tmp_path / "source" / "left_out.csv")
    assert left_out.to_numpy().tolist() == [["77_IM-0001-1001", "its uid has no report"]]


@pytest.mark.parametrize(
    "name", ["1_IM-0001-4001.dcm.png", "CXR1_1_IM-0001-4001.png", "1_IM-0001-4001.dcm", "1_IM-0001-4001.PNG"]
)
def test_one_film_has_one_name(name: str) -> None:
    assert film(name) == "1_IM-0001-4001"


def test_films_of_the_collection_itself(tmp_path: Path) -> None:
    write_openi(tmp_path)
    for path in (tmp_path / "images" / "images_normalized").iterdir():
        path.rename(tmp_path / "images" / f"CXR{path.name.split('_')[0]}_{path.name.replace('.dcm', '')}")
    assert read(tmp_path).loc["3_IM-0003-1001", "path"].endswith("images/CXR3_3_IM-0003-1001.png")


def test_reports_are_the_impressions(tmp_path: Path) -> None:
    write_openi(tmp_path)
    manifest = OpenI(OpenIConfig(root=str(tmp_path), reports=True)).manifest(tmp_path / "source")
    told = reports_of(manifest)
    assert set(told) == {"normal"}
    assert set(told.index) == set(manifest["study_id"])
    assert "report" not in OpenI(OpenIConfig(root=str(tmp_path))).manifest(tmp_path / "source").columns


def test_two_reports_of_one_uid_are_an_error(tmp_path: Path) -> None:
    table = write_openi(tmp_path) / "indiana_reports.csv"
    table.write_text(table.read_text() + "3,,normal,,,,,\n")
    with pytest.raises(DataError, match=r"two rows for uid 3"):
        read(tmp_path)
