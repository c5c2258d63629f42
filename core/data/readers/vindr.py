"""VinDr-CXR, as the VinBigData challenge or as PhysioNet gives it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.config import setting
from core.data.consensus import CONSENSUS, consensus, judged, votes
from core.data.frames import image_shape
from core.data.manifest import split_by_patient, validate_by_patient
from core.data.readers.base import READERS
from core.data.readers.files import find_file
from core.data.readers.public import PublicConfig, PublicReader, Source
from core.data.readers.tables import numbers, parse_labels, read_table
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
# What only PhysioNet's tables of whole films name.
LABELS_OF_FILMS = ("COPD", "Edema", "Emphysema", "Fracture", "Pneumonia", "Tuberculosis")
PARTS = ("train", "test")
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
    """VinDr-CXR: 15,000 frontal films with boxes by three readers each, and 3,000 by consensus (PhysioNet).

    PhysioNet has what readers say of whole films in tables of their own, with findings and diagnoses that have no box.
    """

    FILES = "train.csv and train/ (VinBigData), or annotations/, train/ and test/ (PhysioNet)"
    PUBLISHED = {"images of train": 15_000, "rows of train": 67_914}

    def settings(self) -> dict[str, Any]:
        """How readers are brought together."""
        return {"agree": self.config.agree, "overlap": self.config.overlap}

    def tables(self, root: Path) -> dict[str, Path]:
        """train, and test where it has annotations; `films of train` and `films of test` where they are there."""
        boxes = {part: find_table(root, part) for part in PARTS}
        if boxes["train"] is None:
            raise DataError(f"{root} has no train.csv or annotations/annotations_train.csv", f"it needs {self.FILES}")
        films = {f"films of {part}": find_films(root, part) for part in PARTS if boxes[part]}
        if None in films.values() and any(films.values()):
            lacking = ", ".join(f"image_labels_{name.split()[-1]}.csv" for name, path in films.items() if path is None)
            raise DataError(f"{root} has no annotations/{lacking}, but that of the other part", "complete the download")
        return {name: path for name, path in (boxes | films).items() if path}

    def read(self, root: Path) -> Source:
        """The official test where it is there. No patients are known: an image stands for itself."""
        tables = self.tables(root)
        drawn = {part: read_annotations(tables[part]) for part in PARTS if part in tables}
        whole = "films of train" in tables
        said = {part: read_films(tables[f"films of {part}"]) for part in drawn} if whole else drawn
        labels = (*LABELS, *LABELS_OF_FILMS) if whole else LABELS
        parts = [image_rows(table, part, self.config.agree, labels) for part, table in said.items()]
        for rows in parts:
            ids = rows["patient_id"]
            rows["split"] = (
                split_by_patient(ids, self.config) if len(parts) == 1 else validate_by_patient(ids, self.config)
            )
        if len(parts) == 2:
            parts[1]["split"] = "test"
        boxes = [read_boxes(table, tables[part]) for part, table in drawn.items()]
        boxes.append(consensus(boxes[0], self.config.overlap, self.config.agree))
        counts = {"images of train": len(parts[0]), "rows of train": len(drawn["train"])}
        named = said["train"]["class_name"]
        unknown = (named != "") & ~named.map(lambda word: bool(set(labels_of(word)) & set(labels)))
        missing = {str(k): int(v) for k, v in named[unknown].value_counts().items()}
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


def find_films(root: Path, part: str) -> Path | None:
    """What readers say of the films of train or test as a whole, where that is there."""
    return find_file(root, [f"annotations/image_labels_{part}.csv", f"image_labels_{part}.csv"])


def read_films(path: Path) -> pd.DataFrame:
    """A row (image_id, rad_id, class_name) per class that a reader named, or a blank one where none was.

    The table has a column of 1 and 0 per class; one without readers is one of consensus.
    """
    table = read_table(path, ["image_id"])
    readers = table["rad_id"] if "rad_id" in table.columns else pd.Series(CONSENSUS, index=table.index)
    classes = [name for name in table.columns if name not in ("image_id", "rad_id")]
    named = parse_labels(table, classes, path).to_numpy() == 1
    rows, columns = np.nonzero(np.column_stack([named, ~named.any(axis=1)]))
    words = np.array([*classes, ""], dtype=object)[columns]
    return pd.DataFrame(
        {"image_id": table["image_id"].iloc[rows], "rad_id": readers.iloc[rows], "class_name": words}
    ).reset_index(drop=True)


def image_rows(table: pd.DataFrame, part: str, agree: int, labels: Sequence[str]) -> pd.DataFrame:
    """`Source.rows` but for the split. A finding is positive where `agree` readers name it, uncertain where fewer do.

    Where there is one reader of an image only, such as "consensus", that one is enough.
    """
    images = table["image_id"].drop_duplicates().reset_index(drop=True)
    rows = pd.DataFrame({"patient_id": images, "study_id": images, "image_id": images, "view": View.FRONTAL.label})
    rows["file"] = f"{part}/" + images + ".dicom"
    said = (table["rad_id"] + ":" + table["class_name"]).groupby(table["image_id"]).unique()
    rows["labels_raw"] = images.map(said.map(lambda words: "|".join(sorted(w for w in words if not w.endswith(":")))))
    named = table[["image_id", "rad_id"]].assign(label=table["class_name"].map(labels_of)).explode("label")
    counts = votes(named["image_id"], named["label"], named["rad_id"]).reindex(
        index=images, columns=list(labels), fill_value=0
    )
    readers = images.map(table.groupby("image_id")["rad_id"].nunique())
    for label in labels:
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
