"""The phantom: made where it is missing, then read in MIMIC-CXR's layout like any hospital's films."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.data.phantom.config import PhantomConfig
from core.data.phantom.generate import generate, identity
from core.data.phantom.patient import patient_folder, slug
from core.data.phantom.reports import write_reports
from core.data.pixels import read_film
from core.data.readers.base import READERS
from core.data.readers.mimic_cxr import mimic_manifest, report_path, with_reports
from core.data.readers.tables import read_table
from core.data.regions import encode, regions, write_regions


@READERS.register("phantom", config=PhantomConfig, source="ours")
class PhantomReader:
    """A made data set of 3-D chests, filmed from the front and the side; needs no download."""

    def __init__(self, config: PhantomConfig) -> None:
        self.config = config

    def identity(self) -> dict[str, Any]:
        """All settings that determine the bytes, and the version of the phantom's code."""
        return identity(self.config)

    def manifest(self, workspace: Path) -> pd.DataFrame:
        """A row per image, with the site of every study; films and tables are made below `workspace` first."""
        generate(self.config, workspace)
        manifest = mimic_manifest(workspace, "phantom", "dcm")
        columns = ["study_id", "subject_id", "site"]
        studies = read_table(workspace / "phantom-studies.csv.gz", columns).set_index("study_id")
        write_regions(phantom_regions(workspace, studies["subject_id"], self.config.pixels), workspace)
        manifest = manifest.assign(site=manifest["study_id"].map(studies["site"]))
        if not self.config.reports:
            return manifest
        subjects = dict(zip(manifest["study_id"], manifest["patient_id"], strict=True))
        paths = {study: report_path(workspace, subject, study) for study, subject in subjects.items()}
        write_reports(workspace, manifest, paths)
        return with_reports(manifest, workspace)


def phantom_regions(workspace: Path, subjects: pd.Series, pixels: int) -> pd.DataFrame:
    """Box and mask of every finding on every film on which it casts a shadow, as in core/data/regions.py.

    subjects: subject of each study. pixels: side of a film.
    """
    # Not `read_table`, which refuses a table without rows: a phantom of the healthy has no findings.
    table = pd.read_csv(workspace / "phantom-findings.csv.gz", dtype=str, keep_default_na=False)
    table = table[table["x0"] != ""]
    names = zip(table["study_id"], table["dicom_id"], table["finding"], strict=True)
    folders = {study: workspace / "masks" / patient_folder(subject) for study, subject in subjects.items()}
    masks = [folders[study] / f"s{study}" / f"{film}_{slug(finding)}.png" for study, film, finding in names]
    boxes = {name: table[name].astype(np.float64) for name in ("x0", "y0", "x1", "y1")}
    found: dict[str, Any] = {"image_id": table["dicom_id"], "label": table["finding"], **boxes}
    found["counts"] = [encode(read_film(path).pixels > 0.5) for path in masks]
    return regions(pd.DataFrame(found), label_raw=table["finding"], height=pixels, width=pixels)


__all__ = ["PhantomConfig", "PhantomReader"]
