"""SIIM-ACR Pneumothorax Segmentation 2019."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from core.config import setting
from core.data.manifest import split_by_patient
from core.data.readers.base import READERS
from core.data.readers.files import files_by_name, folders_below, need_file
from core.data.readers.public import PublicConfig, PublicReader, Source
from core.data.readers.tables import read_table
from core.data.regions import box_of, decode, encode, regions
from core.data.types import View
from core.errors import DataError

SIDE = 1024  # px of every image
NONE = "-1"  # what stands for no mask


@dataclass
class SIIMConfig(PublicConfig):
    """Settings of `siim`."""

    name: str = setting("siim", "SIIM-ACR pneumothorax")


@READERS.register("siim", config=SIIMConfig, source="Zawacki et al. 2019, kaggle siim-acr-pneumothorax-segmentation")
class SIIM(PublicReader):
    """SIIM-ACR: 12,047 frontal films out of ChestX-ray14 with masks of pneumothorax; its test has no labels."""

    FILES = "train-rle.csv (or stage_2_train.csv) and the folders with the .dcm files"
    PUBLISHED = {"images": 12_047, "rows": 12_954}

    def tables(self, root: Path) -> dict[str, Path]:
        """The table of run lengths."""
        return {"masks": need_file(root, ["train-rle.csv", "stage_2_train.csv"], f"data.root must hold {self.FILES}")}

    def read(self, root: Path) -> Source:
        """The rows of an image are united to one mask. No patients are known: an image stands for itself."""
        path = self.tables(root)["masks"]
        table = read_table(path, ["ImageId", "EncodedPixels"])
        masks = read_masks(table, path)
        lying = files_by_name(root, folders_below(root), [".dcm"])
        ids = table["ImageId"].drop_duplicates().reset_index(drop=True)
        positive = ids.isin(masks["image_id"])
        rows = pd.DataFrame(
            {
                "patient_id": ids,
                "study_id": ids,
                "image_id": ids,
                "view": View.FRONTAL.label,
                "file": [lying.get(f"{image}.dcm", f"{image}.dcm") for image in ids],
                "split": split_by_patient(ids, self.config),
                "labels_raw": positive.map({True: "pneumothorax", False: NONE}),
                "Pneumothorax": positive.astype("float32"),
            }
        )
        return Source(rows, masks, {"rows": len(table)})


def read_masks(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """A region per image with a mask. Raises DataError with the row of run lengths that make no sense."""
    found = []
    marked = table[table["EncodedPixels"] != NONE]
    for image, rows in marked.groupby("ImageId", sort=False)["EncodedPixels"]:
        mask = np.zeros((SIDE, SIDE), dtype=bool)
        for row, text in rows.items():
            mask |= read_mask(text, f"{path}, row {int(str(row)) + 2}")
        if mask.any():
            x0, y0, x1, y1 = box_of(mask)
            found.append({"image_id": image, "x0": x0, "y0": y0, "x1": x1, "y1": y1, "counts": encode(mask)})
    boxes = pd.DataFrame(found, columns=["image_id", "x0", "y0", "x1", "y1", "counts"])
    return regions(boxes, label="Pneumothorax", label_raw="pneumothorax", height=SIDE, width=SIDE)


def read_mask(text: str, where: str) -> np.ndarray:
    """The mask [1024, 1024] of one row: pairs of a gap since the end of the run before, and a length, down the columns.

    So a row is a list of run lengths, background first, as `decode` reads it.
    """
    try:
        counts = [int(word) for word in text.split()]
        if len(counts) % 2:
            raise ValueError("an odd number of run lengths")
        return decode(counts, SIDE, SIDE)
    except ValueError as error:
        raise DataError(
            f"{where}, column 'EncodedPixels': {error}", "it should be -1 or pairs of start and length"
        ) from error
