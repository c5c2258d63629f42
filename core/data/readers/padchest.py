"""PadChest."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from core.config import setting
from core.data.manifest import split_by_patient
from core.data.readers.base import READERS
from core.data.readers.files import need_file
from core.data.readers.public import PublicConfig, PublicReader, Source
from core.data.readers.tables import parse_view, read_table
from core.data.readers.vocabulary import label_table, outside

COLUMNS = ("ImageID", "ImageDir", "StudyID", "PatientID", "Projection", "PhotometricInterpretation_DICOM", "Labels")
LABELS = (
    "Atelectasis", "COPD", "Calcification", "Cardiomegaly", "Consolidation", "Edema", "Emphysema",
    "Enlarged Cardiomediastinum", "Fibrosis", "Fracture", "Granuloma", "Hernia", "Infiltration", "Lung Lesion", "Mass",
    "No Finding", "Nodule", "Pleural Effusion", "Pleural Other", "Pleural Thickening", "Pneumonia", "Pneumothorax",
    "Scoliosis", "Support Devices", "Tuberculosis",
)  # fmt: skip
UNJUDGED = {"exclude", "unchanged", "suboptimal study"}  # words that say nothing of what the film shows
LONGEST = 10_000  # characters of a list of findings; the longest real one has some hundreds


@dataclass
class PadChestConfig(PublicConfig):
    """Settings of `padchest`."""

    name: str = setting("padchest", "PadChest")


@READERS.register("padchest", config=PadChestConfig, source="Bustos et al. 2020, arXiv 1901.07441")
class PadChest(PublicReader):
    """PadChest: 160,868 frontal and lateral films, 174 findings from Spanish reports; no official split."""

    VERSION = 2
    FILES = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv and the folders 0/ to 54/ with the images"
    PUBLISHED = {"images": 160_868}

    def tables(self, root: Path) -> dict[str, Path]:
        """The one table."""
        names = [f"PADCHEST_chest_x_ray_images_labels_160K{date}.csv" for date in ("_01.02.19", "")]
        return {"images": need_file(root, names, f"data.root must hold {self.FILES}")}

    def read(self, root: Path) -> Source:
        """Split by patient. Images that the authors mark EXCLUDE, and those without an id, are left out."""
        path = self.tables(root)["images"]
        table = read_table(path, COLUMNS)
        raw = table["Labels"]
        rows = pd.DataFrame(
            {
                "patient_id": table["PatientID"],
                "study_id": table["StudyID"],
                "image_id": table["ImageID"],
                "view": table["Projection"].map(parse_view),
                "view_raw": table["Projection"],
                "file": image_folder(root, table) + table["ImageDir"] + "/" + table["ImageID"],
                "split": split_by_patient(table["PatientID"], self.config),
                "labels_raw": raw,
                "photometric": table["PhotometricInterpretation_DICOM"].where(
                    table["PhotometricInterpretation_DICOM"] == "MONOCHROME1", ""
                ),
                "left_out": [why_not(*keys) for keys in zip(*(table[name] for name in COLUMNS), strict=True)],
            }
        )
        counts = {"unreadable lists of findings": int((raw[raw != ""].map(literal).isna()).sum())}
        rows = rows.join(label_table(raw, words, LABELS))
        return Source(rows, counts=counts, outside=outside(raw, words, LABELS))


def image_folder(root: Path, table: pd.DataFrame) -> str:
    """`images/` where the numbered folders lie in one of that name, else nothing."""
    number = table["ImageDir"].iloc[0]
    return "images/" if not (root / number).is_dir() and (root / "images" / number).is_dir() else ""


def why_not(image: str, folder: str, study: str, patient: str, projection: str, _photometric: str, labels: str) -> str:
    """Why an image is left out; "" = it is used."""
    if projection == "EXCLUDE":
        return "Projection is EXCLUDE (no chest film, or one that cannot be used)"
    if "exclude" in labels and "exclude" in (literal(labels) or []):
        return "its findings hold 'exclude'"
    blank = dict(zip(("ImageID", "ImageDir", "StudyID", "PatientID"), (image, folder, study, patient), strict=True))
    return "".join(f"{name} is blank" for name, value in list(blank.items()) if value == "")


def literal(text: str) -> list[str] | None:
    """A list of words that is written as a Python literal; None where it is blank or none. Nothing is evaluated."""
    if not text or len(text) > LONGEST:
        return None
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    is_list = isinstance(found, list) and all(isinstance(word, str) for word in found)
    return [word.strip() for word in found] if is_list else None


def words(text: str) -> list[str] | None:
    """The findings of one image; None where nothing is known of it."""
    found = [word for word in literal(text) or [] if word]
    judged = [word for word in found if word not in UNJUDGED]
    return judged or None
