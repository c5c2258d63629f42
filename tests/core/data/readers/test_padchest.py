"""PadChest: lists of findings that are text, what is left out and why, and films that are stored inverted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.build import prepare
from core.data.labels import UNKNOWN
from core.data.manifest import validate
from core.data.readers.padchest import LONGEST, PadChest, PadChestConfig, literal, words
from tests.core.data.readers.layouts import write_padchest


@pytest.fixture
def manifest(tmp_path: Path) -> pd.DataFrame:
    found = PadChest(PadChestConfig(root=str(write_padchest(tmp_path)))).manifest(tmp_path / "source")
    return validate(found).set_index("image_id")


def test_findings(manifest: pd.DataFrame) -> None:
    assert manifest.loc["0.png", ["No Finding", "Mass"]].tolist() == [1, 0]
    assert manifest.loc["1.png", ["Pleural Effusion", "Atelectasis", "No Finding"]].tolist() == [1, 1, 0]
    assert manifest.loc["1.png", "labels_raw"] == "['pleural effusion', ' laminar atelectasis']"
    assert manifest.loc["4.png", ["Nodule", "Lung Lesion", "Mass"]].tolist() == [1, 1, 0]
    assert manifest.loc["5.png", "Hernia"] == 1
    for image in ("2.png", "3.png"):  # blank; unchanged since another film
        assert (manifest.loc[image, ["No Finding", "Mass", "Hernia"]] == UNKNOWN).all()


def test_views_and_splits(manifest: pd.DataFrame) -> None:
    expected = {"PA": "frontal", "L": "lateral", "AP_horizontal": "frontal", "AP": "frontal", "COSTAL": "unknown"}
    assert dict(manifest[["view_raw", "view"]].drop_duplicates().to_numpy().tolist()) == expected
    assert manifest.groupby("patient_id")["split"].nunique().max() == 1


@pytest.mark.usefixtures("manifest")
def test_what_is_left_out_and_why(tmp_path: Path) -> None:
    left_out = pd.read_csv(tmp_path / "source" / "left_out.csv").set_index("image_id")["reason"].to_dict()
    assert left_out == {
        "6.png": "Projection is EXCLUDE (no chest film, or one that cannot be used)",
        "8.png": "its findings hold 'exclude'",
    }
    report = json.loads((tmp_path / "source" / "source.json").read_text())
    assert report["counts"]["unreadable lists of findings"] == 1
    outside = report["words_outside_the_vocabulary"]
    assert outside["chronic changes"] == 4
    assert outside["sclerotic bone lesion"] == 4


def test_labels_are_parsed_and_never_evaluated(manifest: pd.DataFrame) -> None:
    assert manifest.loc["9.png", "No Finding"] == UNKNOWN
    assert literal("__import__('os').getcwd()") is None
    assert literal("['a', 1]") is None
    assert literal("[" * 5000) is None
    assert literal("['" + "a" * LONGEST + "']") is None
    assert literal("['a', ' b']") == ["a", "b"]
    assert words("['suboptimal study']") is None
    assert words("[]") is None


def test_images_in_a_folder_of_their_own(tmp_path: Path) -> None:
    write_padchest(tmp_path)
    (tmp_path / "images").mkdir()
    for number in range(3):
        (tmp_path / str(number)).rename(tmp_path / "images" / str(number))
    manifest = PadChest(PadChestConfig(root=str(tmp_path))).manifest(tmp_path / "source")
    assert manifest["path"].str.startswith(str(tmp_path / "images")).all()


def test_a_film_that_is_stored_inverted_is_turned_and_its_padding_is_not(tmp_path: Path) -> None:
    """All films are one ramp; of 1.png the table says MONOCHROME1."""
    root = write_padchest(tmp_path / "set")
    store = prepare(PadChestConfig(root=str(root), size=20), tmp_path / "out", workers=1)
    pictures = {}
    for table in store.splits.values():
        pixels = table.pixels.read(np.arange(table.n_images)).astype(int)
        pictures |= dict(zip((str(name) for name in table.image_ids), pixels, strict=True))
    usual, turned = pictures["0.png"], pictures["1.png"]
    assert (turned[:, 2:18] + usual[:, 2:18] == 255).all()
    assert (turned[:, :2] == 0).all()
    assert (turned[:, 18:] == 0).all()
    assert turned[0, 10] > 240 > 20 > usual[0, 10]
    assert all((pictures[name] == usual).all() for name in pictures if name != "1.png")
