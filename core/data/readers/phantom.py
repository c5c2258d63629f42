"""The phantom: made where it is missing, then read in MIMIC-CXR's layout like any hospital's films."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from core.data.phantom.config import PhantomConfig
from core.data.phantom.generate import generate, identity
from core.data.phantom.reports import write_reports
from core.data.readers.base import READERS
from core.data.readers.mimic_cxr import mimic_manifest, report_path, with_reports
from core.data.readers.tables import read_table


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
        studies = read_table(workspace / "phantom-studies.csv.gz", ["study_id", "site"]).set_index("study_id")
        manifest = manifest.assign(site=manifest["study_id"].map(studies["site"]))
        if not self.config.reports:
            return manifest
        subjects = dict(zip(manifest["study_id"], manifest["patient_id"], strict=True))
        paths = {study: report_path(workspace, subject, study) for study, subject in subjects.items()}
        write_reports(workspace, manifest, paths)
        return with_reports(manifest, workspace)


__all__ = ["PhantomConfig", "PhantomReader"]
