"""NIH ChestX-ray14."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from core.config import setting
from core.data.manifest import split_by_patient, validate_by_patient
from core.data.readers.base import READERS
from core.data.readers.files import files_by_name, find_file, need_file
from core.data.readers.public import PublicConfig, PublicReader, Source
from core.data.readers.tables import numbers, parse_view, read_table
from core.data.readers.vocabulary import label_table, main_label, outside
from core.data.regions import no_regions, regions
from core.errors import DataError, check_choice

LABELS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Hernia", "Infiltration",
    "Lung Lesion", "Mass", "No Finding", "Nodule", "Pleural Effusion", "Pleural Thickening", "Pneumonia",
    "Pneumothorax",
)  # fmt: skip
SIDE = 1024  # px of the released images, which the boxes refer to


@dataclass
class NIHConfig(PublicConfig):
    """Settings of `nih`."""

    name: str = setting("nih", "NIH ChestX-ray14")
    split: str = setting(
        "official", "official (train_val_list.txt, test_list.txt) | patient (drawn by data.split_seed)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("data.split", self.split, ("official", "patient"))


@READERS.register("nih", config=NIHConfig, source="Wang et al. 2017, arXiv 1705.02315")
class NIH(PublicReader):
    """NIH ChestX-ray14: 112,120 frontal films, 14 findings mined from reports, boxes for 880 images."""

    FILES = "Data_Entry_2017_v2020.csv, train_val_list.txt, test_list.txt and images_001/images/ to images_012/images/"
    PUBLISHED = {"images": 112_120, "patients": 30_805, "boxes": 984}

    def settings(self) -> dict[str, Any]:
        """Which split."""
        return {"split": self.config.split}

    def tables(self, root: Path) -> dict[str, Path]:
        """The entries, the two lists of the official split, and the boxes where they are there."""
        found = {
            "entries": need_file(root, ["Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv"], f"it needs {self.FILES}")
        }
        if self.config.split == "official":
            for name in ("train_val_list.txt", "test_list.txt"):
                found[name] = need_file(root, [name], "put it there, or split by patient with data.split=patient")
        boxes = find_file(root, ["BBox_List_2017.csv"])
        return found | ({"boxes": boxes} if boxes else {})

    def read(self, root: Path) -> Source:
        """An image is a study of its own: the table has one image per patient and follow-up number."""
        tables = self.tables(root)
        needed = ["Image Index", "Finding Labels", "Patient ID", "View Position"]
        entries = read_table(tables["entries"], needed)
        names, raw = entries["Image Index"], entries["Finding Labels"]
        folders = sorted(
            p for pattern in ("images_*/images", "images", "images_*") for p in root.glob(pattern) if p.is_dir()
        )
        lying = files_by_name(root, folders, [".png"])
        rows = pd.DataFrame(
            {
                "patient_id": entries["Patient ID"].str.zfill(8),
                "study_id": names.str.removesuffix(".png"),
                "image_id": names,
                "view": entries["View Position"].map(parse_view),
                "view_raw": entries["View Position"],
                "file": [lying.get(name, f"images/{name}") for name in names],
                "labels_raw": raw,
            }
        )
        rows = rows.join(label_table(raw, words, LABELS))
        boxes = read_boxes(tables["boxes"]) if "boxes" in tables else no_regions()
        return Source(self._split(rows, tables), boxes, outside=outside(raw, words, LABELS))

    def _split(self, rows: pd.DataFrame, tables: dict[str, Path]) -> pd.DataFrame:
        if self.config.split == "patient":
            return rows.assign(split=split_by_patient(rows["patient_id"], self.config))
        train, test = (set(tables[name].read_text().split()) for name in ("train_val_list.txt", "test_list.txt"))
        tested = rows["image_id"].isin(test)
        split = validate_by_patient(rows["patient_id"][~tested], self.config).reindex(rows.index, fill_value="test")
        neither = ~rows["image_id"].isin(train | test)
        why = neither.map({True: "named in neither train_val_list.txt nor test_list.txt", False: ""})
        return rows.assign(split=split, left_out=why)


def words(text: str) -> list[str]:
    """The findings of one image."""
    return [word for word in text.split("|") if word]


def read_boxes(path: Path) -> pd.DataFrame:
    """The boxes of BBox_List_2017.csv, whose header `Bbox [x,y,w,h]` is one name broken over four columns."""
    table = read_table(path, ["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"])
    x, y, w, h = (numbers(table, name, path) for name in ("Bbox [x", "y", "w", "h]"))
    boxes = {"image_id": table["Image Index"], "label_raw": table["Finding Label"]}
    labels = {"label": table["Finding Label"].map(main_label)}
    corners = {"x0": x, "y0": y, "x1": x + w, "y1": y + h}
    if not corners["x1"].le(SIDE).all() or not corners["y1"].le(SIDE).all():
        raise DataError(f"{path} has a box beyond {SIDE} px", "its numbers must refer to the released images")
    return regions(pd.DataFrame({**boxes, **labels, **corners}), height=SIDE, width=SIDE)
