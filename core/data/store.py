"""A built data set, opened: the studies of each split, their labels, and their pixels by memory map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from core.data.types import Bytes, Floats, Ints, Strings


class PixelSource(Protocol):
    """Where a table's pixels come from."""

    def read(self, rows: Ints) -> Bytes:
        """uint8 pixels [N, H, W] of image rows [N]."""


@dataclass(frozen=True)
class StudyTable:
    """The studies of one split as columns. Images of study s are image rows start[s] to start[s + 1] - 1.

    study_ids, patient_ids: [S] str. labels: [S, L] float32: 1, 0, -1 (uncertain), NaN (not mentioned).
    start: [S + 1] int64. image_ids: [I] str. view: [I] int64, `View` values. sites: [S] str, "" = unknown.
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

    @property
    def n_studies(self) -> int:
        """Number of studies S."""
        return len(self.study_ids)

    @property
    def n_images(self) -> int:
        """Number of images I."""
        return len(self.image_ids)


@dataclass(frozen=True)
class StudyStore:
    """A built data set: a table a split, and what identifies it.

    fingerprint: hash of the manifest and of every shard. size: side of an image, px.
    """

    name: str
    fingerprint: str
    size: int
    label_names: tuple[str, ...]
    splits: Mapping[str, StudyTable]
