"""Image files and folders that tests write: PNG films with a CSV, and a folder in MIMIC-CXR's layout."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

FIELDS = ("path", "patient_id", "study_id", "view", "Edema", "Fracture")


def write_png(path: Path, seed: int, shape: tuple[int, int] = (40, 32)) -> None:
    """A film of noise that depends on `seed`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(path)


def write_csv(path: Path, rows: Sequence[Sequence[object]], fields: Sequence[str] = FIELDS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows([fields, *rows])
    return path


def film_rows(patients: int, seed: int = 0) -> list[list[object]]:
    """Rows for FIELDS: each patient has two studies, of views fl, f or ffl in turn."""
    rng = np.random.default_rng(seed)
    rows: list[list[object]] = []
    for patient in range(patients):
        for visit in range(2):
            letters = ("fl", "f", "ffl")[(patient + visit) % 3]
            labels = [int(rng.integers(0, 2)), int(rng.integers(0, 2))]
            study = f"s{patient:03d}{visit}"
            for slot, letter in enumerate(letters):
                rows.append(
                    [f"films/{study}_{slot}.png", f"p{patient:03d}", study, "PA" if letter == "f" else "LL", *labels]
                )
    return rows


def write_films(folder: Path, patients: int = 20, shape: tuple[int, int] = (40, 32)) -> Path:
    """Films of `patients` patients and their CSV; returns the CSV's path."""
    rows = film_rows(patients)
    for seed, row in enumerate(rows):
        write_png(folder / str(row[0]), seed, shape)
    return write_csv(folder / "films.csv", rows)


def write_gzip_csv(path: Path, fields: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", newline="") as handle:
        csv.writer(handle).writerows([fields, *rows])
