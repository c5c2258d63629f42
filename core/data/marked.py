"""Boxes and masks of a data set's findings as they lie on its training images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.config import DataConfig
from core.data.pixels import square
from core.data.regions import decode, read_regions, square_boxes
from core.data.store import StudyStore
from core.data.types import Bools, Film, Floats
from core.errors import DataError, require

BOX = ["x0", "y0", "x1", "y1"]
CONSENSUS = "consensus"


@dataclass(frozen=True)
class Marked:
    """Regions on training images. regions: columns of core/data/regions.py. size, resize: as in the data's config.

    Where several named readers marked the films, their consensus counts if there is one, else all of them together.
    """

    regions: pd.DataFrame
    size: int
    resize: str

    @cached_property
    def table(self) -> pd.DataFrame:
        """The regions that count."""
        reader = self.regions["reader"]
        agreed = reader.isin([CONSENSUS, ""])
        return (self.regions[agreed] if (reader == CONSENSUS).any() else self.regions).reset_index(drop=True)

    def labels(self, masked: bool = False) -> list[str]:
        """Labels that have a region (masked: one with a mask), sorted."""
        rows = self.table[self.table["counts"].notna()] if masked else self.table
        return sorted(set(rows["label"]))

    def masks(self, image_ids: Sequence[str], labels: Sequence[str]) -> Bools:
        """[N, L, size, size] bool: the masks of each image and label, united; nothing where there is none."""
        found = np.zeros((len(image_ids), len(labels), self.size, self.size), np.bool_)
        for image, label, place in self._places(image_ids, labels):
            found[image, label] |= self._mask(place)
        return found

    def boxes(self, image_ids: Sequence[str], labels: Sequence[str]) -> list[list[Floats]]:
        """For each image and label its boxes [n, 4] float32: x0, y0, x1, y1, px of the training image.

        A box that the squaring cuts away whole is left out.
        """
        found: list[list[list[Floats]]] = [[[] for _ in labels] for _ in image_ids]
        for image, label, place in self._places(image_ids, labels):
            box = self._boxes[place]
            if box[0] < box[2] and box[1] < box[3]:
                found[image][label].append(box)
        return [[np.array(boxes, np.float32).reshape(-1, 4) for boxes in row] for row in found]

    @cached_property
    def _boxes(self) -> Floats:
        found = np.empty((len(self.table), 4), np.float32)
        boxes, frames = self.table[BOX].to_numpy(np.float64), self.table[["height", "width"]].to_numpy(np.int64)
        for frame in np.unique(frames, axis=0):
            rows = (frames == frame).all(axis=1)
            found[rows] = square_boxes(boxes[rows], (int(frame[0]), int(frame[1])), self.size, self.resize)
        return found

    def _mask(self, place: int) -> Bools:
        """[size, size]: pixels of which half or more is inside; of a tiny region those that hold most of it."""
        row = self.table.iloc[place]
        if row["counts"] is None:
            return np.zeros((self.size, self.size), np.bool_)
        try:
            film = decode(row["counts"], int(row["height"]), int(row["width"]))
        except ValueError as error:
            raise DataError(
                f"mask of {row['label']} on image {row['image_id']}: {error}", "build the data anew"
            ) from error
        share = square(Film(film.astype(np.float32)), self.size, self.resize)
        inside: Bools = (share >= min(0.5, float(share.max()))) & (share > 0)
        return inside

    def _places(self, image_ids: Sequence[str], labels: Sequence[str]) -> Iterator[tuple[int, int, int]]:
        """(image, label, row of the table) of every region of these images and labels."""
        column = {name: place for place, name in enumerate(labels)}
        for image, name in enumerate(image_ids):
            for place in self._rows.get(str(name), ()):
                if self._labels[place] in column:
                    yield image, column[self._labels[place]], int(place)

    @cached_property
    def _labels(self) -> list[str]:
        return [str(name) for name in self.table["label"]]

    @cached_property
    def _rows(self) -> dict[str, NDArray[np.int64]]:
        return {str(name): np.asarray(rows) for name, rows in self.table.groupby("image_id").indices.items()}


def marked(store: StudyStore, config: DataConfig) -> Marked | None:
    """The regions of a built data set, or None where it has none.

    Raises ConfigError where borders were cropped, and DataError where the films' size is not known: either way it is
    not known where on a training image a box lies.
    """
    table = read_regions(store.folder) if store.folder else None
    if table is None or table.empty:
        return None
    require(
        config.borders == "keep",
        f"data.borders={config.borders} moves films under their boxes and masks, by an amount that is not kept",
        "set data.borders=keep to evaluate with them",
    )
    unknown = table[(table["height"] == 0) | (table["width"] == 0)]
    if len(unknown):
        first = unknown["image_id"].iloc[0]
        raise DataError(f"{len(unknown)} regions are on films of unknown size, the first on image {first}")
    return Marked(table, store.size, config.resize)
