"""Study tables that tests build by hand or at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.data.store import StudyTable
from core.data.types import Bytes, Ints


@dataclass
class ConstantPixels:
    """Pixels of image row r are all r modulo 256."""

    size: int = 4

    def read(self, rows: Ints) -> Bytes:
        value = (rows % 256).astype(np.uint8)
        return np.broadcast_to(value[:, None, None], (len(rows), self.size, self.size)).copy()


def make_table(studies: Sequence[tuple[str, str]], labels: np.ndarray | None = None) -> StudyTable:
    """A table of (patient, views) with views spelled as letters: "fl" is a frontal and a lateral, u unknown."""
    codes = {"f": 0, "l": 1, "u": 2}
    views = [codes[letter] for _, letters in studies for letter in letters]
    counts = [len(letters) for _, letters in studies]
    n = len(studies)
    return StudyTable(
        split="train",
        label_names=("A", "B"),
        study_ids=np.array([f"s{i}" for i in range(n)], dtype=str),
        patient_ids=np.array([patient for patient, _ in studies], dtype=str),
        labels=np.zeros((n, 2), dtype=np.float32) if labels is None else labels,
        start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        image_ids=np.array([f"i{i}" for i in range(len(views))], dtype=str),
        view=np.array(views, dtype=np.int64),
        sites=np.full(n, "", dtype=str),
        pixels=ConstantPixels(),
    )


def random_table(seed: int, patients: int = 60) -> StudyTable:
    """Patients with one to four studies of every combination of views."""
    rng = np.random.default_rng(seed)
    combinations = ["f", "l", "fl", "ff", "ffl", "fll", "u", "ul", "fl", "fl"]
    studies = [
        (f"p{p:03d}", combinations[rng.integers(len(combinations))])
        for p in range(patients)
        for _ in range(rng.integers(1, 5))
    ]
    return make_table([studies[i] for i in rng.permutation(len(studies))])
