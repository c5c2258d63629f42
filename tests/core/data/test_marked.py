"""Boxes and masks on the training image: where the film's pixels went, from the phantom's files to a built data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from core.compose import compose, to_trial
from core.config import DataConfig
from core.data.build import prepare
from core.data.marked import BOX, Marked, marked
from core.data.pixels import square
from core.data.readers.mimic_cxr import mimic_manifest
from core.data.regions import encode, regions, write_regions
from core.data.store import StudyStore
from core.data.types import Film
from core.errors import ConfigError, DataError

CONFIG = DataConfig(name="phantom")
LABELS = ["Pneumothorax", "Pleural Effusion", "Cardiomegaly"]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> StudyStore:
    """A phantom whose films are larger than the training images."""
    config = to_trial(compose(["data.patients=8", "data.size=32", "data.film_size=48", "data.processes=1"])).data
    return prepare(config, tmp_path_factory.mktemp("marked"), workers=1)


def made(**columns: object) -> pd.DataFrame:
    """Regions on films of 40 x 60 px; each column a list of one value per region."""
    count = len(next(iter(columns.values())))
    usual = {"image_id": ["a"] * count, "label": ["L"] * count, "height": [40] * count, "width": [60] * count}
    corners = dict(zip(BOX, ([0] * count, [0] * count, [30] * count, [40] * count), strict=True))
    return regions(pd.DataFrame(usual | corners | columns))


@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (64, 64)])
def test_boxes_and_masks_lie_where_the_films_pixels_went(resize: str, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        (y0, y1), (x0, x1) = (np.sort(rng.choice(side + 1, 2, replace=False)) for side in shape)
        film = np.zeros(shape, bool)
        film[y0:y1, x0:x1] = True
        table = made(x0=[x0], y0=[y0], x1=[x1], y1=[y1], height=[shape[0]], width=[shape[1]], counts=[encode(film)])
        shown = square(Film(film.astype(np.float32)), 32, resize)
        if shown.sum() < 6:
            continue
        found = Marked(table, 32, resize)
        mask, ((box,),) = found.masks(["a"], ["L"])[0, 0], found.boxes(["a"], ["L"])[0]
        np.testing.assert_array_equal(mask, shown >= min(0.5, shown.max()))
        assert shown.sum() == pytest.approx((box[2] - box[0]) * (box[3] - box[1]), abs=6, rel=0.12)
        middle = [np.average(np.arange(32) + 0.5, weights=shown.sum(axis)) for axis in (0, 1)]
        assert middle == pytest.approx([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], abs=0.6)


def test_the_phantoms_masks_come_back_from_the_built_data_set(phantom: StudyStore) -> None:
    source = phantom.folder / "source"
    findings = pd.read_csv(source / "phantom-findings.csv.gz").dropna(subset=["x0"])
    manifest = mimic_manifest(source, "phantom", "dcm").set_index("image_id")
    found = marked(phantom, CONFIG)
    assert found is not None
    assert len(findings) > 20
    for finding in findings.to_dict("records"):
        film = Path(manifest["path"][finding["dicom_id"]])
        name = f"{film.stem}_{finding['finding'].lower().replace(' ', '-')}.png"
        own = Path(str(film.parent).replace("/files/", "/masks/")) / name
        exact = np.asarray(Image.open(own).convert("L")) > 0
        mask = found.masks([finding["dicom_id"]], [finding["finding"]])[0, 0]
        ((box,),) = found.boxes([finding["dicom_id"]], [finding["finding"]])[0]
        np.testing.assert_allclose(box, [finding[c] * 32 / 48 for c in BOX], rtol=1e-5)
        assert mask.any()
        assert mask.mean() == pytest.approx(exact.mean(), abs=0.03)
    assert set(found.labels(masked=True)) <= set(phantom.label_names)


def test_images_and_labels_without_a_region_have_none(phantom: StudyStore) -> None:
    found = marked(phantom, CONFIG)
    assert found is not None
    assert not found.masks(["nobody"], LABELS).any()
    assert [len(boxes) for boxes in found.boxes(["nobody"], LABELS)[0]] == [0, 0, 0]
    assert marked(replace(phantom, folder=None), CONFIG) is None


def test_masks_of_one_label_are_united_and_a_tiny_one_stays() -> None:
    one, other = np.zeros((40, 60), bool), np.zeros((40, 60), bool)
    one[10, 20], other[20:30, 30:50] = True, True
    both = Marked(made(counts=[encode(one), encode(other)]), 32, "pad").masks(["a", "b"], ["L"])
    assert both[0, 0, 5 + int(10.5 * 32 / 60), int(20.5 * 32 / 60)]
    assert both[0, 0, 5 + int(25 * 32 / 60), int(40 * 32 / 60)]
    assert not both[1].any()


def test_where_readers_agreed_their_consensus_counts() -> None:
    table = made(x1=[10, 20, 30], reader=["R1", "R2", "consensus"])
    (boxes,) = Marked(table, 32, "stretch").boxes(["a"], ["L"])[0]
    assert boxes.tolist() == [[0, 0, 16, 32]]
    (boxes,) = Marked(table.iloc[:2], 32, "stretch").boxes(["a"], ["L"])[0]
    assert len(boxes) == 2


def test_a_box_that_the_crop_cuts_away_is_left_out() -> None:
    table = made(x0=[0], x1=[8], y0=[0], y1=[40])
    assert [len(Marked(table, 32, resize).boxes(["a"], ["L"])[0][0]) for resize in ("crop", "pad")] == [0, 1]


def test_films_of_unknown_size_are_named(phantom: StudyStore, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    write_regions(made(height=[0]), tmp_path / "source")
    with pytest.raises(DataError, match="unknown size, the first on image a"):
        marked(replace(phantom, folder=tmp_path), CONFIG)


def test_boxes_are_not_looked_for_on_films_whose_borders_were_cropped(phantom: StudyStore) -> None:
    with pytest.raises(ConfigError, match="borders=crop moves films under their boxes"):
        marked(phantom, replace(CONFIG, borders="crop"))
