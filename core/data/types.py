"""The nouns of the data: view, manifest, study table, batch of pairs."""

from __future__ import annotations

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
