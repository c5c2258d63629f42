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

# More than any detector or film scanner has: 8192 x 8192.
MAX_PIXELS = 67_108_864


class UnreadableImageError(ValueError):
    """An image file that holds no usable picture; the message is the reason for the quarantine table."""


@dataclass(frozen=True)
class Film:
    """A film as it was read. pixels: [H, W] float32 in [0, 1], 1 = bright. notes: what is odd about the file, in words
    that quote nothing of it. inverted: its header or a table says MONOCHROME1, so its values were inverted."""

    pixels: Floats
    notes: tuple[str, ...] = ()
    inverted: bool = False
