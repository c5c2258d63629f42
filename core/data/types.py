"""The nouns of the data: view, manifest, study table, batch of pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class View(IntEnum):
    """Which way the rays went. The integer is what arrays and the view embedding use."""

    FRONTAL = 0
    LATERAL = 1
    UNKNOWN = 2

    @property
    def label(self) -> str:
        """Lower-case name as manifests spell it."""
        return self.name.lower()

    @classmethod
    def parse(cls, text: str) -> View:
        """View of a manifest's spelling (frontal | lateral | unknown)."""
        return cls[text.upper()]


SPLITS = ("train", "validate", "test")

CHEXPERT_LABELS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    "No Finding",
    "Pleural Effusion",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
    "Support Devices",
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Strings = NDArray[np.str_]
# Grey as a film's file has it: bytes where it is shown as it is, else float32; see `white`.
Shades = Bytes | Floats

# More than any detector or film scanner has: 8192 x 8192.
MAX_PIXELS = 67_108_864


class UnreadableImageError(ValueError):
    """An image file that holds no usable picture; the message is the reason for the quarantine table."""


@dataclass(frozen=True)
class Film:
    """A film as it was read, bright is high.

    stored: [H, W]. Without a table the grey itself: bytes where it is shown as it is, else float32 in [0, 1]. With one,
    integers in the machine's order of bytes: a pixel that is low + i has the grey table[i]; table: [n] float32 in
    [0, 1]. What is done to the grey of a pixel is done once a value. notes: what is odd about the file, in words that
    quote nothing of it. inverted: its header or a table says MONOCHROME1, so its values were inverted.
    """

    stored: NDArray[Any]
    table: Floats | None = None
    low: int = 0
    notes: tuple[str, ...] = ()
    inverted: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, px."""
        height, width = self.stored.shape
        return height, width

    @property
    def shades(self) -> Shades:
        """[H, W], from 0 to `white`."""
        return self.stored if self.table is None else self._looked_up(self.table)

    @property
    def pixels(self) -> Floats:
        """[H, W] float32 in [0, 1], 1 = bright."""
        shades = self.shades
        return (shades / white(shades)).astype(np.float32, copy=False)

    @property
    def negative(self) -> Film:
        """The film with dark and bright exchanged."""
        if self.table is None:
            return replace(self, stored=white(self.stored) - self.stored, inverted=True)
        return replace(self, table=1 - self.table, inverted=True)

    def part(self, rows: slice, columns: slice) -> Film:
        """Some of its rows and columns."""
        return replace(self, stored=self.stored[rows, columns])

    def below(self, bound: float) -> Bools:
        """Which pixels [H, W] are darker than a share of white in [0, 1]."""
        if self.table is None:
            return self.stored < bound * white(self.stored)
        return self._looked_up(self.table < bound)

    def _looked_up(self, table: NDArray[Any]) -> NDArray[Any]:
        return table[self.stored.astype(np.int64) - self.low]


def white(shades: Shades) -> int:
    """What the brightest grey is in an array of its type: 255 of bytes, 1 of floats."""
    return 255 if shades.dtype == np.uint8 else 1
