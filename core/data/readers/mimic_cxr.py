"""MIMIC-CXR (DICOM) and MIMIC-CXR-JPG, which share one folder layout and one set of tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from core.config import setting
from core.data.labels import UNKNOWN
from core.data.readers.base import READERS, REPORT
from core.data.readers.public import PublicConfig, PublicReader, Source, to_manifest
from core.data.readers.tables import parse_labels, read_table
from core.data.reports import read_impression
from core.data.types import View
from core.errors import DataError, check_choice
from core.io import sha256_file

KEYS = ("dicom_id", "study_id", "subject_id")
# Every other ViewPosition (blank, LLD, RAO, ...) is unknown.
VIEWS = {
    "AP": View.FRONTAL.label,
    "PA": View.FRONTAL.label,
    "LATERAL": View.LATERAL.label,
    "LL": View.LATERAL.label,
}


@dataclass
class MimicCXRConfig(PublicConfig):
    """Settings of `mimic_cxr`."""

    name: str = setting("mimic_cxr", "MIMIC-CXR 2.x, DICOM or JPG")
    images: str = setting("jpg", "which files: jpg (MIMIC-CXR-JPG) | dcm (MIMIC-CXR)")
    labeler: str = setting("chexpert", "which label table: chexpert | negbio")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("data.images", self.images, ("jpg", "dcm"))
        check_choice("data.labeler", self.labeler, ("chexpert", "negbio"))


def find_table(root: Path, kind: str) -> Path:
    """The table mimic-cxr-<version>-<kind>.csv.gz (or .csv) in `root`; DataError when there is none."""
    found = sorted([*root.glob(f"mimic-cxr-*-{kind}.csv.gz"), *root.glob(f"mimic-cxr-*-{kind}.csv")])
    if not found:
        raise DataError(
            f"{root} has no table mimic-cxr-2.0.0-{kind}.csv.gz",
            "data.root must be the folder that holds files/ and the tables",
        )
    return found[-1]


def image_file(subject: str, study: str, dicom: str, suffix: str) -> str:
    """files/p10/p10000032/s50414267/<dicom_id>.<suffix>."""
    return f"files/p{subject[:2]}/p{subject}/s{study}/{dicom}.{suffix}"


def report_path(root: Path, subject: str, study: str) -> Path:
    """files/p10/p10000032/s50414267.txt under `root`: where mimic-cxr-reports.zip unpacks to."""
    return root / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{study}.txt"


def with_reports(manifest: pd.DataFrame, root: Path) -> pd.DataFrame:
    """The manifest of a folder in MIMIC-CXR's layout with its REPORT column: impressions, "" where there is none."""
    studies = manifest.drop_duplicates("study_id")
    texts = {
        study: read_impression(report_path(root, subject, study))
        for study, subject in zip(studies["study_id"], studies["patient_id"], strict=True)
    }
    return manifest.assign(**{REPORT: manifest["study_id"].map(texts)})


def mimic_rows(root: Path, suffix: str, labeler: str = "chexpert") -> pd.DataFrame:
    """`Source.rows` of a folder in MIMIC-CXR's layout.

    root: folder with files/ and the metadata, split and label tables. suffix: dcm or jpg. A `site` column in the
    metadata table is taken over where there is one. Labels of a study without a row in the label table are UNKNOWN.
    Raises DataError for absent tables and columns.
    """
    metadata = read_table(find_table(root, "metadata"), [*KEYS, "ViewPosition"])
    splits = read_table(find_table(root, "split"), [*KEYS, "split"]).drop_duplicates("dicom_id")
    table = metadata.merge(splits[["dicom_id", "split"]], on="dicom_id", how="left")
    unsplit = table["dicom_id"][table["split"].isna()]
    if len(unsplit):
        raise DataError(f"{len(unsplit)} images have no row in the split table, the first is {unsplit.iloc[0]}")
    keys = zip(table["subject_id"], table["study_id"], table["dicom_id"], strict=True)
    rows = pd.DataFrame(
        {
            "patient_id": table["subject_id"],
            "study_id": table["study_id"],
            "image_id": table["dicom_id"],
            "view": table["ViewPosition"].map(VIEWS).fillna(View.UNKNOWN.label),
            "view_raw": table["ViewPosition"],
            "file": [image_file(*key, suffix) for key in keys],
            "split": table["split"],
            "site": table["site"] if "site" in table.columns else "",
        }
    )
    labels = study_labels(find_table(root, labeler))
    return rows.join(labels.reindex(rows["study_id"].unique(), fill_value=UNKNOWN), on="study_id")


def mimic_manifest(root: Path, dataset: str, suffix: str, labeler: str = "chexpert") -> pd.DataFrame:
    """The manifest of a folder in MIMIC-CXR's layout; `dataset` is what to write in that column."""
    rows = mimic_rows(root, suffix, labeler)
    return to_manifest(rows, dataset, root, "error", str(find_table(root, "metadata")))[0]


def study_labels(path: Path) -> pd.DataFrame:
    """The label table of one row a study, indexed by study_id. Raises DataError for a study with two rows."""
    table = read_table(path, ["subject_id", "study_id"])
    repeated = table["study_id"][table["study_id"].duplicated()]
    if len(repeated):
        raise DataError(f"{path} has two rows for study {repeated.iloc[0]}", "it must have one row a study")
    names = [name for name in table.columns if name not in ("subject_id", "study_id")]
    return parse_labels(table, names, path).set_index(table["study_id"])


@READERS.register("mimic_cxr", config=MimicCXRConfig, source="Johnson et al. 2019, doi 10.1038/s41597-019-0322-0")
class MimicCXR(PublicReader):
    """MIMIC-CXR 2.x with its official split and CheXpert or NegBio labels."""

    VERSION = 2
    FILES = "files/ and the tables mimic-cxr-2.0.0-metadata, -split and -chexpert (.csv.gz)"
    PUBLISHED = {
        "images": 377_110, "studies": 227_835, "split train": 368_960, "split validate": 2_991, "split test": 5_159,
        "view frontal": 243_334, "view lateral": 117_986, "view unknown": 15_790,
    }  # fmt: skip

    def tables(self, root: Path) -> dict[str, Path]:
        """Metadata, split and labels."""
        return {kind: find_table(root, kind) for kind in ("metadata", "split", self.config.labeler)}

    def identity(self) -> dict[str, Any]:
        """The version of the reading code, which files, and the hashes of the three tables."""
        tables = [sha256_file(table) for table in self.tables(self.root()).values()]
        return {"version": self.VERSION, "images": self.config.images, "tables": tables}

    def read(self, root: Path) -> Source:
        """The tables joined, one label row a study."""
        return Source(mimic_rows(root, self.config.images, self.config.labeler))

    def manifest(self, workspace: Path) -> pd.DataFrame:
        """A row per image, with reports where `data.reports` asks for them."""
        manifest = super().manifest(workspace)
        return with_reports(manifest, self.root()) if self.config.reports else manifest
