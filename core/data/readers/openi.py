"""Open-i, the Indiana University collection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from core.config import setting
from core.data.manifest import split_by_patient
from core.data.readers.base import READERS, REPORT
from core.data.readers.files import files_by_name, folders_below, need_file
from core.data.readers.public import PublicConfig, PublicReader, Source
from core.data.readers.tables import parse_view, read_table
from core.data.readers.vocabulary import label_table, outside
from core.errors import DataError

LABELS = (
    "Atelectasis", "COPD", "Calcification", "Cardiomegaly", "Consolidation", "Edema", "Emphysema", "Fracture",
    "Granuloma", "Hernia", "Infiltration", "Interstitial Lung Disease", "Lung Lesion", "Lung Opacity", "Mass",
    "No Finding", "Nodule", "Pleural Effusion", "Pneumonia", "Pneumothorax", "Scoliosis", "Support Devices",
    "Tuberculosis",
)  # fmt: skip
UNJUDGED = {"no indexing", "technical quality of image unsatisfactory"}


@dataclass
class OpenIConfig(PublicConfig):
    """Settings of `openi`."""

    name: str = setting("openi", "Open-i (Indiana University)")


@READERS.register("openi", config=OpenIConfig, source="Demner-Fushman et al. 2016, doi 10.1093/jamia/ocv080")
class OpenI(PublicReader):
    """Open-i: 7,466 frontal and lateral films of 3,851 reports with MeSH headings; no official split."""

    VERSION = 2
    FILES = "indiana_projections.csv, indiana_reports.csv and the images (PNG, or the collection's DICOM)"
    # Of the two tables; the XML collection has 3,955 reports and 7,470 images, of which four have no row.
    PUBLISHED = {"images": 7_466, "studies": 3_851, "view frontal": 3_818, "view lateral": 3_648}

    def tables(self, root: Path) -> dict[str, Path]:
        """The projections, which are right where the DICOM View Position is not, and the reports."""
        hint = f"data.root must hold {self.FILES}"
        return {kind: need_file(root, [f"indiana_{kind}.csv"], hint) for kind in ("projections", "reports")}

    def manifest(self, workspace: Path) -> pd.DataFrame:
        """A row per image, with the reports' impressions where `data.reports` asks for them."""
        manifest = super().manifest(workspace)
        if not self.config.reports:
            return manifest
        table = read_table(self.tables(self.root())["reports"], ["uid", "impression"]).set_index("uid")
        return manifest.assign(**{REPORT: manifest["study_id"].map(table["impression"])})

    def read(self, root: Path) -> Source:
        """A report is a study and, as nothing says who is who, a patient. Its labels are its Problems."""
        tables = self.tables(root)
        images = read_table(tables["projections"], ["uid", "filename", "projection"])
        reports = read_table(tables["reports"], ["uid", "Problems"])
        repeated = reports["uid"][reports["uid"].duplicated()]
        if len(repeated):
            raise DataError(
                f"{tables['reports']} has two rows for uid {repeated.iloc[0]}", "it must have one row a report"
            )
        problems = images["uid"].map(reports.set_index("uid")["Problems"])
        lying = {film(name): file for name, file in files_by_name(root, folders_below(root), [".png", ".dcm"]).items()}
        raw = problems.fillna("")
        rows = pd.DataFrame(
            {
                "patient_id": images["uid"],
                "study_id": images["uid"],
                "image_id": images["filename"].map(film),
                "view": images["projection"].map(parse_view),
                "view_raw": images["projection"],
                "file": [lying.get(film(name), name) for name in images["filename"]],
                "split": split_by_patient(images["uid"], self.config),
                "labels_raw": raw,
                "left_out": problems.isna().map({True: "its uid has no report", False: ""}),
            }
        )
        return Source(rows.join(label_table(raw, words, LABELS)), outside=outside(raw, words, LABELS))


def film(name: str) -> str:
    """The one name of a film that is called 1_IM-0001-4001.dcm.png, CXR1_1_IM-0001-4001.png or 1_IM-0001-4001.dcm."""
    return re.sub(r"(?i)^CXR\d+_(?=\d+_IM)|(\.dcm)?(\.png)?$", "", name)


def words(text: str) -> list[str] | None:
    """The MeSH headings of one report; None where it was not indexed."""
    found = [word.strip() for word in text.split(";") if word.strip()]
    return [word for word in found if word.casefold() not in UNJUDGED] or None
