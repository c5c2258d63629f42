"""What others read films with, over PNG files: a plain dataset, and torchxrayvision's own."""

from __future__ import annotations

import csv
import functools
import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from core.data.store import StudyTable
from core.models.timm_import import import_timm

TABLE = "Data_Entry_2017.csv"
INSTALL = "pip install -c constraints.txt -e '.[bench]'"


class PngFiles(Dataset[torch.Tensor]):
    """The plain way: item i opens and decodes file i. uint8 [1, H, W]."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.folder, self.names = folder, names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.folder / self.names[index]) as image:
            return torch.from_numpy(np.array(image))[None]


class TorchXRayVisionFiles(PngFiles):
    """Item i is the picture of torchxrayvision's `NIH_Dataset` over the same files, without transforms, which files of
    the training size need not: float32 [1, H, W] in [-1024, 1024]."""

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(nih_dataset(self.folder)[index]["img"])


@functools.cache
def nih_dataset(folder: Path) -> Any:
    """torchxrayvision's dataset over the films and the table in `folder`; one a process."""
    # Beside a CPU-only torch torchvision can be imported only after this.
    import_timm()
    datasets = importlib.import_module("torchxrayvision").datasets
    return datasets.NIH_Dataset(str(folder), csvpath=str(folder / TABLE), unique_patients=False)


def torchxrayvision_is_there() -> bool:
    """Whether it is installed (an extra; nothing else needs it)."""
    return importlib.util.find_spec("torchxrayvision") is not None


def write_films(table: StudyTable, folder: Path) -> list[str]:
    """Every image of `table` as a PNG file in `folder`, with a table as ChestX-ray14 has it; returns their names."""
    names = [f"{row:08d}_000.png" for row in range(table.n_images)]
    for row, name in enumerate(names):
        Image.fromarray(table.pixels.read(np.array([row]))[0]).save(folder / name)
    columns = ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "Patient Gender", "View Position")
    with (folder / TABLE).open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(columns)
        writer.writerows([name, "No Finding", number, 50, "F", "PA"] for number, name in enumerate(names))
    return names
