"""RSNA Pneumonia Detection Challenge 2018."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from core.config import setting
from core.data.labels import UNKNOWN
from core.data.manifest import split_by_patient
from core.data.readers.base import READERS
from core.data.readers.files import find_file, need_file
from core.data.readers.public import PublicConfig, PublicReader, Source
from core.data.readers.tables import numbers, read_table
from core.data.regions import regions
from core.data.types import View
from core.errors import DataError
from core.io import read_json

BOX = ("x", "y", "width", "height")
SIDE = 1024  # px of every image
MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"


@dataclass
class RSNAConfig(PublicConfig):
    """Settings of `rsna`."""

    name: str = setting("rsna", "RSNA pneumonia")


@READERS.register("rsna", config=RSNAConfig, source="Shih et al. 2019, doi 10.1148/ryai.2019180041")
class RSNA(PublicReader):
    """RSNA pneumonia: 26,684 frontal films out of ChestX-ray14 with boxes around opacities; its test has no labels."""

    VERSION = 2
    FILES = "stage_2_train_labels.csv and stage_2_train_images/"
    PUBLISHED = {"images": 26_684, "rows": 30_227, "positive images": 6_012, "boxes": 9_555}

    def tables(self, root: Path) -> dict[str, Path]:
        """The labels; where they are there the classes, and which film of ChestX-ray14 each image is."""
        found = {"labels": need_file(root, ["stage_2_train_labels.csv"], f"data.root must hold {self.FILES}")}
        others = {
            "classes": find_file(root, ["stage_2_detailed_class_info.csv"]),
            "mapping": find_file(root, [MAPPING]),
        }
        return found | {name: path for name, path in others.items() if path}

    def read(self, root: Path) -> Source:
        """A row per box is united to a row per image. With the mapping, patients are those of ChestX-ray14."""
        tables = self.tables(root)
        path = tables["labels"]
        table = read_table(path, ["patientId", *BOX, "Target"])
        boxes = read_boxes(table, path)
        images = table.drop_duplicates("patientId").set_index("patientId")
        positive = table.groupby("patientId", sort=False)["Target"].max().eq("1")
        rows = pd.DataFrame(
            {
                "patient_id": patients(images.index, tables.get("mapping")),
                "study_id": images.index,
                "image_id": images.index,
                "view": View.FRONTAL.label,
                "file": [f"stage_2_train_images/{name}.dcm" for name in images.index],
                "labels_raw": "Target=" + positive.map({True: "1", False: "0"}),
                "Lung Opacity": positive.astype("float32"),
                "Pneumonia": positive.astype("float32"),
            },
        )
        if "classes" in tables:
            rows = with_classes(rows, tables["classes"])
        rows = rows.reset_index(drop=True)
        rows["split"] = split_by_patient(rows["patient_id"], self.config)
        return Source(rows, boxes, {"rows": len(table), "positive images": int(positive.sum())})


def read_boxes(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The boxes of the rows whose Target is 1. Raises DataError for a Target or a box that makes no sense."""
    x, y, width, height = (numbers(table, name, path) for name in BOX)
    full = x.notna() & y.notna() & width.notna() & height.notna()
    wrong = table.index[~table["Target"].isin(["0", "1"]) | ((table["Target"] == "1") != full)]
    if len(wrong):
        what = f"{path}, row {wrong[0] + 2}: Target is {table['Target'][wrong[0]]!r} and its box is "
        raise DataError(what + ("there" if full[wrong[0]] else "not"), "Target is 1 with a box, 0 without")
    boxes = pd.DataFrame({"image_id": table["patientId"], "x0": x, "y0": y, "x1": x + width, "y1": y + height})[full]
    return regions(boxes, label="Lung Opacity", label_raw="Target", height=SIDE, width=SIDE)


def patients(images: pd.Index, mapping: Path | None) -> list[str]:
    """The patient of each image: ChestX-ray14's where the mapping is there, else the image itself.

    The table's own patientId names an image. The mapping is the organisers' list of objects with `subset_img_id`
    (that id) and `img_id` (00012345_001.png).
    """
    if mapping is None:
        return list(images)
    entries = read_json(mapping)
    try:
        films = {str(entry["subset_img_id"]): str(entry["img_id"]) for entry in entries}
        return [films[image].split("_")[0] for image in images]
    except (KeyError, TypeError) as error:
        what = f"{mapping} lacks {error}"
        raise DataError(what, "it must name subset_img_id and img_id of every image; or take it away") from error


def with_classes(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The rows with a label No Finding: 1 where the table of classes says Normal, UNKNOWN where it is silent."""
    table = read_table(path, ["patientId", "class"]).drop_duplicates("patientId").set_index("patientId")["class"]
    classes = table.reindex(rows.index)
    normal = classes.eq("Normal").astype("float32").where(classes.notna(), UNKNOWN)
    raw = rows["labels_raw"] + "|" + classes.fillna("")
    return rows.assign(**{"labels_raw": raw, "No Finding": normal})
