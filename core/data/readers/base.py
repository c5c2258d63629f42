"""What a reader is: it turns a data set as it lies on disk into the manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from core.config import DataConfig
from core.registry import Registry

MANIFEST_COLUMNS = (
    "dataset", "patient_id", "study_id", "image_id", "view", "view_raw", "path", "split", "site", "labels_raw",
    "photometric",
)  # fmt: skip

# A further text column, with data.reports=true: what the study's report concludes, alike in all of its rows, "" = none.
REPORT = "report"


class Reader(Protocol):
    """A data set's reader, built as `Reader(config)`."""

    def __init__(self, config: Any) -> None: ...

    def identity(self) -> dict[str, Any]:
        """What determines the data set's content: settings, and hashes of the user's tables. No paths.

        Raises DataError when a table that is needed is absent.
        """

    def manifest(self, workspace: Path) -> pd.DataFrame:
        """The manifest: a row per image with MANIFEST_COLUMNS (all str) and a float column per label.

        `path` is absolute. Labels are 1, 0, -1, NaN and `core.data.labels.UNKNOWN`; label columns are those not in
        MANIFEST_COLUMNS and not REPORT (there when `data.reports` is set), named as in `vocabulary.SPELLINGS` where
        that has a name for them.
        `view_raw` and `labels_raw` are the data set's own words; `labels_raw` is "" where the label columns are the
        data set's own too. `photometric` is MONOCHROME1 where a table says of a PNG or JPEG that it is stored
        inverted, else "" (a DICOM file says so itself).
        `workspace` is a folder of this data set's own, for a reader that makes its files (the phantom).
        """


READERS: Registry[type[Reader]] = Registry("data", "core.data.readers")

__all__ = ["MANIFEST_COLUMNS", "READERS", "REPORT", "DataConfig", "Reader"]
