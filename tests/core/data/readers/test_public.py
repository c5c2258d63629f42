"""What holds for every reader of a public data set, on a small folder in exactly its layout."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.build import prepare
from core.data.manifest import label_columns, validate
from core.data.readers.base import READERS
from core.data.readers.files import files_by_name, locate
from core.data.readers.public import PublicConfig, PublicReader, check_published
from core.data.readers.vocabulary import SPELLINGS
from core.data.regions import read_regions
from core.data.types import SPLITS
from core.errors import ConfigError, DataError
from tests.core.data.readers.layouts import LAYOUTS

READING = sorted(LAYOUTS)


def config(name: str, root: Path, **settings: object) -> PublicConfig:
    found = READERS.get(name).config(root=str(root), **settings)
    assert isinstance(found, PublicConfig)
    return found


def read(name: str, root: Path, workspace: Path, **settings: object) -> pd.DataFrame:
    manifest: pd.DataFrame = READERS.build(config(name, root, **settings)).manifest(workspace)
    return manifest


def test_every_public_reader_has_a_layout() -> None:
    public = {e.name for e in READERS.entries() if isinstance(e.build, type) and issubclass(e.build, PublicReader)}
    assert public - {"mimic_cxr"} == set(LAYOUTS)


@pytest.mark.parametrize("name", READING)
def test_a_layout_becomes_a_manifest_in_the_shared_vocabulary(name: str, tmp_path: Path) -> None:
    root = LAYOUTS[name](tmp_path / "set")
    manifest = validate(read(name, root, tmp_path / "source"))
    assert set(label_columns(manifest)) <= set(SPELLINGS)
    assert set(manifest["dataset"]) == {name}
    assert all(Path(path).is_file() and Path(path).is_relative_to(root) for path in manifest["path"])
    assert manifest.dtypes[label_columns(manifest)].eq(np.float32).all()
    kept = pd.read_parquet(tmp_path / "source" / "manifest.parquet")
    pd.testing.assert_frame_equal(kept, manifest)
    report = json.loads((tmp_path / "source" / "source.json").read_text())
    left_out = pd.read_csv(tmp_path / "source" / "left_out.csv")
    assert report["counts"]["images"] == len(manifest) + len(left_out)
    assert report["left_out"] == left_out["reason"].value_counts().to_dict()
    assert report["split_seed"] == 0


@pytest.mark.parametrize("name", READING)
def test_a_layout_is_built_into_shards(name: str, tmp_path: Path) -> None:
    root = LAYOUTS[name](tmp_path / "set")
    store = prepare(config(name, root, size=16), tmp_path / "out", workers=1)
    manifest = pd.read_parquet(next((tmp_path / "out" / "data").glob("*/source/manifest.parquet")))
    assert sum(store.splits[split].n_images for split in SPLITS) == len(manifest)
    folder = next((tmp_path / "out" / "data").iterdir())
    assert set(read_regions(folder)["image_id"]) <= set(manifest["image_id"])


@pytest.mark.parametrize("name", READING)
def test_each_column_that_is_needed_is_named_when_it_is_missing(name: str, tmp_path: Path) -> None:
    root = LAYOUTS[name](tmp_path / "set")
    reader = READERS.build(config(name, root))
    table = next(iter(reader.tables(root).values()))
    header, _, rest = table.read_text().partition("\n")
    named = []
    for column in header.split(","):
        table.write_text(header.replace(column, "renamed", 1) + "\n" + rest)
        with contextlib.suppress(DataError):
            reader.read(root)
            continue
        with pytest.raises(DataError, match=f"{table.name}.* has no column {re.escape(repr(column.strip()))}"):
            reader.read(root)
        named.append(column)
    assert len(named) >= 2


@pytest.mark.parametrize("name", READING)
def test_each_table_that_is_needed_is_named_when_it_is_missing(name: str, tmp_path: Path) -> None:
    root = LAYOUTS[name](tmp_path / "set")
    table = next(iter(READERS.build(config(name, root)).tables(root).values()))
    table.unlink()
    with pytest.raises(DataError, match=table.name):
        READERS.build(config(name, root)).identity()


@pytest.mark.parametrize("name", READING)
def test_a_missing_film_is_an_error_or_counted(name: str, tmp_path: Path) -> None:
    root = LAYOUTS[name](tmp_path / "set")
    whole = read(name, root, tmp_path / "source")
    gone = whole.iloc[-1]
    Path(gone["path"]).unlink()
    with pytest.raises(DataError, match=r"1 of \d+ images named in .* do not exist:\n.*(\n.*)*data.missing=drop"):
        read(name, root, tmp_path / "source")
    rest = read(name, root, tmp_path / "source", missing="drop")
    assert set(whole["image_id"]) - set(rest["image_id"]) == {gone["image_id"]}
    left_out = pd.read_csv(tmp_path / "source" / "left_out.csv", dtype=str).set_index("image_id")["reason"]
    assert left_out[gone["image_id"]] == "the file does not exist"


@pytest.mark.parametrize("name", READING)
def test_identity_follows_the_tables_and_not_the_place(name: str, tmp_path: Path) -> None:
    root = LAYOUTS[name](tmp_path / "set")
    first = READERS.build(config(name, root)).identity()
    moved = root.rename(tmp_path / "elsewhere")
    assert READERS.build(config(name, moved)).identity() == first
    table = next(iter(READERS.build(config(name, moved)).tables(moved).values()))
    table.write_text(table.read_text() + "\n")
    assert READERS.build(config(name, moved)).identity() != first


def test_the_root_must_be_set_and_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data.root is not set\n.*train_val_list.txt"):
        READERS.build(READERS.get("nih").config()).identity()
    with pytest.raises(DataError, match=r"is no folder"):
        READERS.build(config("nih", tmp_path / "nowhere")).identity()


@pytest.mark.parametrize(
    "path", ["../secret.png", "a/../../secret.png", "../nowhere.png", "/etc/hostname", "link.png", "far/secret.png", ""]
)
def test_a_path_of_a_table_may_not_leave_the_root(path: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name in ("secret.png", "outside/secret.png", "root/fine.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "far").symlink_to(tmp_path / "outside")
    with pytest.raises(DataError, match=r"table.csv, row 3: path .* leads out of"):
        locate(root, ["fine.png", path], "table.csv")


def test_links_and_detours_within_the_root_are_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "film.png").touch()
    (tmp_path / "near").symlink_to(tmp_path / "a")
    (tmp_path / "link.png").symlink_to(tmp_path / "a" / "film.png")
    files = ["a/film.png", "near/film.png", "link.png", "b/../a/./film.png", "a/none.png", "none/film.png"]
    paths, there = locate(tmp_path, files, "table.csv")
    assert there.tolist() == [True, True, True, True, False, False]
    assert paths[3] == str(tmp_path / "a" / "film.png")
    assert files_by_name(tmp_path, [tmp_path, tmp_path / "a"], [".png"]) == {
        "link.png": "link.png",
        "film.png": "a/film.png",
    }


def test_published_counts_are_held_against_a_whole_set_only(caplog: pytest.LogCaptureFixture) -> None:
    published = {"images": 10, "patients": 5}
    assert check_published("x", {"images": 10, "patients": 4}, published) == ["patients: 4, published 5"]
    assert "patients: 4, published 5" in caplog.text
    assert check_published("x", {"images": 10, "patients": 5}, published) == []
    assert check_published("x", {"images": 9, "patients": 4}, published) == []


@pytest.mark.parametrize("name", [*READING, "mimic_cxr"])
def test_published_counts_have_names_that_are_counted(name: str, tmp_path: Path) -> None:
    """A misspelt name would never be checked: the tables in small must give a number for each."""
    reader = READERS.get(name).build
    assert isinstance(reader, type)
    assert issubclass(reader, PublicReader)
    if name in LAYOUTS:
        read(name, LAYOUTS[name](tmp_path / "set"), tmp_path / "source")
        counts = json.loads((tmp_path / "source" / "source.json").read_text())["counts"]
        assert set(reader.PUBLISHED) <= set(counts)
    whole = next(iter(reader.PUBLISHED.values()))
    assert sum(v for k, v in reader.PUBLISHED.items() if k.startswith("split ")) in (0, whole)
    assert sum(v for k, v in reader.PUBLISHED.items() if k.startswith("view ")) in (0, whole)
