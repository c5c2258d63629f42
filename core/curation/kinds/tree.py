"""Automatic curation: a tree over the studies' embeddings, and an equal share of every branch (arXiv 2503.18709)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.config import CurationConfig, setting
from core.curation.base import CURATIONS, Curated, CurationContext
from core.curation.embeddings import open_embeddings
from core.curation.kmeans import ITERATIONS
from core.curation.points import Points, checked
from core.curation.sampling import DRAWS, sample
from core.curation.tree import Level, TreeSettings, build_tree
from core.data.store import StudyTable
from core.errors import DataError, check_choice, check_range
from core.io import sha256_file


@dataclass
class TreeConfig(CurationConfig):
    """The tree, and what is drawn from it."""

    name: str = setting("tree", "by hierarchical k-means of embeddings")
    keep: float = setting(0.1, "share of the training studies")
    levels: list[str] = setting(
        ["64", "8"], "clusters of each level, the finest first; 100x30 = 100, each divided by 30"
    )
    resample: list[int] = setting(
        [], "of each level, points re-clustered per cluster; [] = half its mean size, 0 = off"
    )
    resample_steps: int = setting(10, "how many times each level is re-clustered")
    iterations: int = setting(ITERATIONS, "Lloyd's iterations")
    draw: str = setting("random", "which points of a finest cluster: random | nearest (its centroid) first")
    epochs: int = setting(4, "epochs on all studies of the encoder whose embeddings are clustered; it is then dropped")
    embeddings: str = setting("", "Parquet of study_id and embedding to use instead, a row for each training study")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("curation.draw", self.draw, DRAWS)
        check_range("curation.epochs", self.epochs, 0, 1_000_000)
        self.settings(0)

    @property
    def n_levels(self) -> int:
        """The tree's."""
        return len(self.levels)

    @property
    def encoder_epochs(self) -> int:
        """None where embeddings are given."""
        return 0 if self.embeddings else self.epochs

    def identity(self) -> dict[str, Any]:
        """With the hash of a given file in place of its name."""
        return {**super().identity(), "embeddings": file_hash(self.embeddings)}

    def settings(self, seed: int) -> TreeSettings:
        """The tree's settings. Raises ConfigError for levels that cannot be."""
        levels = tuple(Level.parse(text) for text in self.levels)
        return TreeSettings(levels, tuple(self.resample), self.resample_steps, self.iterations, seed)


def file_hash(name: str) -> str:
    """SHA-256 of the file of embeddings, "" where there is none. Raises DataError when it is absent."""
    if not name:
        return ""
    path = Path(name)
    if not path.is_file():
        raise DataError(f"curation.embeddings={name} does not exist", "write it with viewpair curate, or leave it out")
    found = path.stat()
    return _hash_of(path, found.st_size, found.st_mtime_ns)


@functools.cache
def _hash_of(path: Path, _size: int, _changed: int) -> str:
    # A plan asks for the ids of many trials, and the file may be large.
    return sha256_file(path)


@CURATIONS.register("tree", config=TreeConfig, source="arXiv 2503.18709, after 2405.15613")
class TreeCuration:
    """Hierarchical k-means of the studies' embeddings, with resampling, and hierarchical sampling from its tree."""

    def __init__(self, config: TreeConfig) -> None:
        self.config = config

    def choose(self, context: CurationContext) -> Curated:
        """An equal share of every branch."""
        points = self._points(context)
        tree = build_tree(points, self.config.settings(context.seed), context.folder)
        studies = np.zeros(len(points), np.bool_)
        studies[sample(tree, context.count(self.config.keep), context.rng(), self.config.draw)] = True
        return Curated(studies, np.stack([tree.labels(level) for level in range(1, tree.depth + 1)]))

    def _points(self, context: CurationContext) -> Points:
        if not self.config.embeddings:
            return checked(context.embed(self.config.epochs), "the embeddings of curation's encoder")
        return given_points(Path(self.config.embeddings), context.table, context.folder)


def given_points(path: Path, table: StudyTable, folder: Path) -> Points:
    """The embeddings of a training split's studies from a Parquet table. Raises DataError where a study has none."""
    given = open_embeddings(path, "embedding", "study_id", folder)
    order = np.argsort(given.ids)
    place = np.minimum(np.searchsorted(given.ids[order], table.study_ids), len(order) - 1)
    missing = given.ids[order[place]] != table.study_ids
    if missing.any():
        what = f"{path} has no embedding of {missing.sum()} training studies, such as {table.study_ids[missing][0]}"
        raise DataError(what, "it must have a row for each training study")
    return given.points.take(order[place])
