"""The nouns of the data: view, manifest, study table, batch of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

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
    """A film as it was read. shades: [H, W], bright is high, from 0 to `white`. notes: what is odd about the file, in
    words that quote nothing of it. inverted: its header or a table says MONOCHROME1, so its values were inverted."""

    shades: Shades
    notes: tuple[str, ...] = ()
    inverted: bool = False

    @property
    def pixels(self) -> Floats:
        """[H, W] float32 in [0, 1], 1 = bright."""
        return (self.shades / white(self.shades)).astype(np.float32, copy=False)

    @property
    def negative(self) -> Film:
        """The film with dark and bright exchanged."""
        return Film(white(self.shades) - self.shades, self.notes, inverted=True)


def white(shades: Shades) -> int:
    """What the brightest grey is in an array of its type: 255 of bytes, 1 of floats."""
    return 255 if shades.dtype == np.uint8 else 1
