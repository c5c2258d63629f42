"""A built data set, opened: the studies of each split, their labels, and their pixels by memory map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.data.mapped import ChosenPixels, PixelSource, ShardPixels
from core.data.readers.base import REPORT
from core.data.reports import encode, vocabulary
from core.data.types import SPLITS, Bools, Floats, Ints, Strings
from core.errors import DataError
from core.io import read_json, sha256_file

SCHEMA = 1
INDEX, STUDIES, IMAGES, QUARANTINE = "index.json", "studies.parquet", "images.parquet", "quarantine.csv"
NOTES = "notes.csv"
LABEL = "label:"
# Without the hashes of the pixels, the largest by far, which only `core/data/integrity.py` asks for.
IMAGE_COLUMNS = ["study", "shard", "view", "image_id", "offset"]
MEND = "run `viewpair data build` with the same settings: it keeps whole shards and writes the others again"


@dataclass(frozen=True)
class StudyTable:
    """The studies of one split as columns. Images of study s are image rows start[s] to start[s + 1] - 1.

    study_ids, patient_ids: [S] str. labels: [S, L] float32: 1, 0, -1 (uncertain), NaN (not mentioned), UNKNOWN.
    start: [S + 1] int64. image_ids: [I] str. view: [I] int64, `View` values. sites: [S] str, "" = unknown.
    reports: [S, R] int64, words of the store's vocabulary as in core/data/reports.py; None where there are no reports.
    """

    split: str
    label_names: tuple[str, ...]
    study_ids: Strings
    patient_ids: Strings
    labels: Floats
    start: Ints
    image_ids: Strings
    view: Ints
    sites: Strings
    pixels: PixelSource
    reports: Ints | None = None

    @property
    def n_studies(self) -> int:
        """Number of studies S."""
        return len(self.study_ids)

    @property
    def n_images(self) -> int:
        """Number of images I."""
        return len(self.image_ids)

    @cached_property
    def patients(self) -> Ints:
        """[S] int64, each study's patient as a number: the place of the id among those of the table, sorted."""
        return np.unique(self.patient_ids, return_inverse=True)[1]

    def subset(self, studies: Bools) -> StudyTable:
        """The table of the studies that `studies` [S] selects, with all of their images."""
        counts = np.diff(self.start)
        rows = np.flatnonzero(np.repeat(studies, counts))
        return replace(
            self,
            study_ids=self.study_ids[studies],
            patient_ids=self.patient_ids[studies],
            labels=self.labels[studies],
            start=np.concatenate([[0], np.cumsum(counts[studies])]).astype(np.int64),
            image_ids=self.image_ids[rows],
            view=self.view[rows],
            sites=self.sites[studies],
            reports=None if self.reports is None else self.reports[studies],
            pixels=self.pixels.take(rows) if isinstance(self.pixels, ShardPixels) else ChosenPixels(self.pixels, rows),
        )


@dataclass(frozen=True)
class StudyStore:
    """A built data set: a table a split, and what identifies it.

    fingerprint: hash of the manifest and of every shard. size: side of an image, px. vocabulary: words of the
    training split's reports, none without reports. folder: where it lies, None for one that is only in memory.
    """

    name: str
    fingerprint: str
    size: int
    label_names: tuple[str, ...]
    splits: Mapping[str, StudyTable]
    vocabulary: tuple[str, ...] = ()
    folder: Path | None = None


def open_store(folder: Path, deep: bool = False) -> StudyStore:
    """Open a built data set and make sure that index and shards belong together.

    deep: also hash every shard (reads all of it). Raises DataError for an absent, cut or foreign index or
    shard, a patient in two splits, an empty split.
    """
    index = read_index(folder)
    for shard in index["shards"]:
        _check_shard(folder / shard["file"], shard, deep)
    studies = _read_table(folder / STUDIES, index["tables"][STUDIES])
    images = _read_table(folder / IMAGES, index["tables"][IMAGES], IMAGE_COLUMNS)
    _check_tables(folder, index, studies, images)
    shards = tuple(folder / shard["file"] for shard in index["shards"])
    names = tuple(index["label_names"])
    splits = {split: _table(split, names, studies, images, shards, index["size"]) for split in SPLITS}
    words: tuple[str, ...] = ()
    if REPORT in studies:
        words = vocabulary(studies.loc[studies["split"] == "train", REPORT])
        tokens = encode(list(studies[REPORT]), words)
        splits = {k: replace(t, reports=tokens[studies["split"] == k]) for k, t in splits.items()}
    return StudyStore(index["name"], index["fingerprint"], index["size"], names, splits, words, folder)


def read_index(folder: Path) -> dict[str, Any]:
    """index.json of a built data set. Raises DataError when it is absent, damaged or of another version."""
    if not (folder / INDEX).is_file():
        raise DataError(f"{folder} holds no finished data set (no {INDEX})", MEND)
    index: dict[str, Any] = read_json(folder / INDEX)
    if index.get("schema") != SCHEMA:
        raise DataError(f"{folder / INDEX} has schema {index.get('schema')}, this version reads {SCHEMA}", MEND)
    return index


def _check_shard(path: Path, entry: dict[str, Any], deep: bool) -> None:
    if not path.is_file():
        raise DataError(f"shard {path} is missing", MEND)
    size = path.stat().st_size
    if size != entry["bytes"]:
        raise DataError(f"shard {path} has {size} bytes, the index says {entry['bytes']}", MEND)
    with path.open("rb") as handle:
        name = handle.read(100).split(b"\0")[0].decode(errors="replace")
    if entry["studies"] and name != f"{entry['first']}.images.npy":
        raise DataError(f"shard {path} begins with {name!r}, the index says {entry['first']}.images.npy", MEND)
    if deep and sha256_file(path) != entry["sha256"]:
        raise DataError(f"shard {path} does not have the SHA-256 that the index says", MEND)


def _read_table(path: Path, digest: str, columns: list[str] | None = None) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{path} is missing", MEND)
    if sha256_file(path) != digest:
        raise DataError(f"{path} does not have the SHA-256 that {INDEX} says", MEND)
    return pd.read_parquet(path, columns=columns)


def _check_tables(folder: Path, index: dict[str, Any], studies: pd.DataFrame, images: pd.DataFrame) -> None:
    seen = studies.drop_duplicates(["patient_id", "split"])["patient_id"]
    if seen.duplicated().any():
        names = ", ".join(sorted(seen[seen.duplicated()].unique())[:10])
        raise DataError(f"{folder}: patients in more than one split: {names}", "mend the splits and build anew")
    for split in SPLITS:
        count, said = int((studies["split"] == split).sum()), index["splits"][split]["studies"]
        if count != said or count == 0:
            raise DataError(f"{folder}: split {split} has {count} studies, the index says {said}", MEND)
    limits = np.array([shard["bytes"] for shard in index["shards"]])[images["shard"]]
    if (images["offset"] < 0).any() or (images["offset"] + index["size"] ** 2 > limits).any():
        raise DataError(f"{folder / IMAGES} points outside its shards", MEND)


def _table(
    split: str,
    names: tuple[str, ...],
    studies: pd.DataFrame,
    images: pd.DataFrame,
    shards: tuple[Path, ...],
    size: int,
) -> StudyTable:
    rows = studies[studies["split"] == split]
    mine = images[images["study"].isin(rows.index)]
    labels = rows[[LABEL + name for name in names]].to_numpy(dtype=np.float32).reshape(len(rows), len(names))
    columns = {name: mine[name].to_numpy(dtype=np.int64) for name in ("shard", "offset", "view")}
    return StudyTable(
        split=split,
        label_names=names,
        study_ids=rows["study_id"].to_numpy(dtype=str),
        patient_ids=rows["patient_id"].to_numpy(dtype=str),
        labels=labels,
        start=np.concatenate([[0], np.cumsum(rows["images"])]).astype(np.int64),
        image_ids=mine["image_id"].to_numpy(dtype=str),
        view=columns["view"],
        sites=rows["site"].to_numpy(dtype=str),
        pixels=ShardPixels(shards, columns["shard"], columns["offset"], size),
    )
