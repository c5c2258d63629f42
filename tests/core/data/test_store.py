"""Opening a data set: reading by memory map, and every kind of damage named."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.mapped import ChosenPixels
from core.data.store import INDEX, STUDIES, open_store, read_index
from core.errors import DataError
from core.io import sha256_file, write_json
from tests.core.data.tables import ConstantPixels, make_table


def test_rows_are_read_in_any_order_and_repeated(pristine: Path) -> None:
    table = open_store(pristine).splits["train"]
    everything = table.pixels.read(np.arange(table.n_images))
    rows = np.random.default_rng(0).integers(0, table.n_images, 200)
    np.testing.assert_array_equal(table.pixels.read(rows), everything[rows])
    assert table.pixels.read(rows[:0]).shape == (0, 16, 16)


def test_a_pickled_source_holds_paths_and_not_pixels(pristine: Path) -> None:
    pixels = open_store(pristine).splits["train"].pixels
    expected = pixels.read(np.arange(5))
    packed = pickle.dumps(pixels)
    assert len(packed) < 20_000
    np.testing.assert_array_equal(pickle.loads(packed).read(np.arange(5)), expected)


def test_a_subset_keeps_the_images_of_its_studies(pristine: Path) -> None:
    table = open_store(pristine).splits["train"]
    chosen = np.arange(table.n_studies) % 3 == 1
    part = table.subset(chosen)
    assert list(part.study_ids) == list(table.study_ids[chosen])
    for row, study in enumerate(np.flatnonzero(chosen)):
        mine, source = (
            np.arange(part.start[row], part.start[row + 1]),
            np.arange(table.start[study], table.start[study + 1]),
        )
        assert list(part.image_ids[mine]) == list(table.image_ids[source])
        np.testing.assert_array_equal(part.pixels.read(mine), table.pixels.read(source))


def test_a_subset_of_a_table_without_shards() -> None:
    table = make_table([("a", "fl"), ("b", "f"), ("c", "ffl")])
    part = table.subset(np.array([False, True, True]))
    assert isinstance(part.pixels, ChosenPixels)
    assert part.pixels.read(np.arange(part.n_images))[:, 0, 0].tolist() == [2, 3, 4, 5]
    assert isinstance(table.pixels, ConstantPixels)


def refused(folder: Path, message: str, deep: bool = False) -> None:
    with pytest.raises(DataError, match=message) as caught:
        open_store(folder, deep)
    assert caught.value.hint


def test_a_folder_without_an_index(tmp_path: Path) -> None:
    refused(tmp_path, r"holds no finished data set")


def test_a_truncated_shard(built: Path) -> None:
    shard = built / "validate-000000.tar"
    size = shard.stat().st_size
    shard.write_bytes(shard.read_bytes()[:-1024])
    refused(built, rf"shard .*validate-000000.tar has {size - 1024} bytes, the index says {size}")


def test_a_missing_shard(built: Path) -> None:
    (built / "test-000000.tar").unlink()
    refused(built, r"shard .*test-000000.tar is missing")


def test_shards_that_changed_places(built: Path) -> None:
    shards = [s for s in read_index(built)["shards"] if s["split"] == "train"]
    same = [s["file"] for s in shards if s["bytes"] == shards[0]["bytes"]]
    assert len(same) >= 2
    first, second = built / same[0], built / same[1]
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    refused(built, r"begins with 'train-000000\d\d.images.npy', the index says train-")


def test_one_changed_byte_is_found_by_the_deep_check(built: Path) -> None:
    shard = built / "train-000000.tar"
    content = bytearray(shard.read_bytes())
    content[5000] ^= 1
    shard.write_bytes(content)
    open_store(built)
    refused(built, r"train-000000.tar does not have the SHA-256", deep=True)


def test_an_index_cut_in_half(built: Path) -> None:
    text = (built / INDEX).read_text()
    (built / INDEX).write_text(text[: len(text) // 2])
    refused(built, r"index.json is not valid JSON")


def test_an_index_of_another_version(built: Path) -> None:
    write_json(built / INDEX, {**read_index(built), "schema": 99})
    refused(built, r"schema 99")


@pytest.mark.parametrize("name", ["studies.parquet", "images.parquet"])
def test_a_table_that_is_not_the_index_s(built: Path, name: str) -> None:
    table = pd.read_parquet(built / name)
    table.iloc[:-1].to_parquet(built / name, index=False)
    refused(built, rf"{name} does not have the SHA-256")
    (built / name).unlink()
    refused(built, rf"{name} is missing")


def edited(folder: Path, name: str, table: pd.DataFrame) -> None:
    """Write a table and put its hash into the index, as somebody who edits by hand would."""
    table.to_parquet(folder / name, index=False)
    index = read_index(folder)
    index["tables"][name] = sha256_file(folder / name)
    write_json(folder / INDEX, index)


def test_a_patient_in_two_splits(built: Path) -> None:
    studies = pd.read_parquet(built / STUDIES)
    studies.loc[studies["split"] == "test", "patient_id"] = studies["patient_id"][0]
    edited(built, STUDIES, studies)
    refused(built, rf"patients in more than one split: {studies['patient_id'][0]}")


def test_an_empty_split(built: Path) -> None:
    studies = pd.read_parquet(built / STUDIES)
    studies["split"] = studies["split"].replace("validate", "test")
    edited(built, STUDIES, studies)
    refused(built, r"split validate has 0 studies")


def test_offsets_outside_the_shard(built: Path) -> None:
    images = pd.read_parquet(built / "images.parquet")
    images.loc[0, "offset"] = 10**9
    edited(built, "images.parquet", images)
    refused(built, r"points outside its shards")
