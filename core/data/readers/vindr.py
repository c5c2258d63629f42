"""VinDr-CXR, as the VinBigData challenge or as PhysioNet gives it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from core.config import setting
from core.data.consensus import CONSENSUS, consensus, judged, votes
from core.data.frames import image_shape
from core.data.manifest import split_by_patient, validate_by_patient
from core.data.readers.base import READERS
from core.data.readers.files import find_file
from core.data.readers.public import PublicConfig, PublicReader, Source
from core.data.readers.tables import numbers, read_table
from core.data.readers.vocabulary import labels_of, main_label, plain
from core.data.regions import regions
from core.data.types import View
from core.errors import DataError, check_range

LOG = logging.getLogger(__name__)
LABELS = (
    "Aortic Enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "Fibrosis", "Infiltration",
    "Interstitial Lung Disease", "Lung Lesion", "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other",
    "Pleural Thickening", "Pneumothorax",
)  # fmt: skip
CORNERS = ("x_min", "y_min", "x_max", "y_max")


@dataclass
class VinDrConfig(PublicConfig):
    """Settings of `vindr`."""

    name: str = setting("vindr", "VinDr-CXR (VinBigData)")
    agree: int = setting(2, "readers who must name a finding to make it positive; fewer make it uncertain")
    overlap: float = setting(0.4, "least intersection over union of two readers' boxes of one finding to be fused")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("data.agree", self.agree, 1, 3)
        check_range("data.overlap", self.overlap, 0, 1, open_high=True)


@READERS.register("vindr", config=VinDrConfig, source="Nguyen et al. 2022, arXiv 2012.15029")
class VinDr(PublicReader):
    """VinDr-CXR: 15,000 frontal films with boxes by three readers each, and 3,000 by consensus (PhysioNet)."""

    FILES = "train.csv and train/ (VinBigData), or annotations/, train/ and test/ (PhysioNet)"
    PUBLISHED = {"images of train": 15_000, "rows of train": 67_914}

    def settings(self) -> dict[str, Any]:
        """How readers are brought together."""
        return {"agree": self.config.agree, "overlap": self.config.overlap}

    def tables(self, root: Path) -> dict[str, Path]:
        """train, and test where it has annotations."""
        found = {part: find_table(root, part) for part in ("train", "test")}
        if found["train"] is None:
            raise DataError(f"{root} has no train.csv or annotations/annotations_train.csv", f"it needs {self.FILES}")
        return {part: path for part, path in found.items() if path}

    def read(self, root: Path) -> Source:
        """The official test where it is there. No patients are known: an image stands for itself."""
        tables = self.tables(root)
        drawn = {part: read_annotations(path) for part, path in tables.items()}
        parts = [image_rows(table, part, self.config.agree) for part, table in drawn.items()]
        for rows in parts:
            ids = rows["patient_id"]
            rows["split"] = (
                split_by_patient(ids, self.config) if len(parts) == 1 else validate_by_patient(ids, self.config)
            )
        if len(parts) == 2:
            parts[1]["split"] = "test"
        boxes = [read_boxes(drawn[part], tables[part]) for part in tables]
        boxes.append(consensus(boxes[0], self.config.overlap, self.config.agree))
        counts = {"images of train": len(parts[0]), "rows of train": len(drawn["train"])}
        named = drawn["train"]["class_name"]
        missing = {str(k): int(v) for k, v in named[~named.map(has_label)].value_counts().items()}
        found = pd.concat([table for table in boxes if len(table)] or boxes, ignore_index=True)
        return Source(pd.concat(parts, ignore_index=True), found, counts, missing)

    def finished_regions(self, regions: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
        """The regions with the size of their film, which no table names; those of a film without one are left out."""
        paths = manifest.set_index("image_id")["path"]
        shapes = {image: image_shape(Path(paths[image])) for image in regions["image_id"].unique()}
        height, width = (regions["image_id"].map({i: s[axis] for i, s in shapes.items()}) for axis in (0, 1))
        known = height > 0
        if not known.all():
            LOG.warning("%d regions are left out: the size of their film cannot be read", (~known).sum())
        return regions.assign(height=height, width=width)[known].reset_index(drop=True)


def find_table(root: Path, part: str) -> Path | None:
    """The annotations of train or test, under either release's name. VinBigData's test has none."""
    names = [f"annotations/annotations_{part}.csv", f"annotations_{part}.csv"]
    return find_file(root, names + (["train.csv"] if part == "train" else []))


def read_annotations(path: Path) -> pd.DataFrame:
    """A row per box, or per reader who found nothing; a table without readers is one of consensus."""
    table = read_table(path, ["image_id", "class_name", *CORNERS])
    return table if "rad_id" in table.columns else table.assign(rad_id=CONSENSUS)


def has_label(word: str) -> bool:
    """Whether the vocabulary has a label for a class."""
    return bool(set(labels_of(word)) & set(LABELS))


def image_rows(table: pd.DataFrame, part: str, agree: int) -> pd.DataFrame:
    """`Source.rows` but for the split. A finding is positive where `agree` readers name it, uncertain where fewer do.

    Where there is one reader of an image only, such as "consensus", that one is enough.
    """
    images = table["image_id"].drop_duplicates().reset_index(drop=True)
    rows = pd.DataFrame({"patient_id": images, "study_id": images, "image_id": images, "view": View.FRONTAL.label})
    rows["file"] = f"{part}/" + images + ".dicom"
    said = (table["rad_id"] + ":" + table["class_name"]).groupby(table["image_id"]).unique()
    rows["labels_raw"] = images.map(said.map(lambda words: "|".join(sorted(words))))
    named = table[["image_id", "rad_id"]].assign(label=table["class_name"].map(labels_of)).explode("label")
    counts = votes(named["image_id"], named["label"], named["rad_id"]).reindex(
        index=images, columns=LABELS, fill_value=0
    )
    readers = images.map(table.groupby("image_id")["rad_id"].nunique())
    for label in LABELS:
        single = (counts[label].to_numpy() > 0).astype("float32")
        rows[label] = judged(counts[label].reset_index(drop=True), agree).where(readers > 1, single)
    return rows


def read_boxes(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The boxes as the readers drew them. Raises DataError for half a box, or one around No finding."""
    corners = pd.DataFrame({name: numbers(table, name, path) for name in CORNERS})
    full = corners.notna().all(axis=1)
    nothing = table["class_name"].map(plain) == "no finding"
    wrong = table.index[(full & nothing) | (~full & corners.notna().any(axis=1))]
    if len(wrong):
        what = f"{path}, row {wrong[0] + 2}: {table['class_name'][wrong[0]]} with x_min, y_min, x_max, y_max of "
        raise DataError(f"{what}{corners.loc[wrong[0]].tolist()}", "a finding has all four, No finding has none")
    named = {
        "image_id": table["image_id"],
        "label": table["class_name"].map(main_label),
        "label_raw": table["class_name"],
    }
    boxes = corners.set_axis(["x0", "y0", "x1", "y1"], axis=1).assign(**named, reader=table["rad_id"])[full]
    return regions(boxes)
