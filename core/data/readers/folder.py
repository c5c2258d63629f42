"""One's own films: a CSV with a row per image, beside PNG, JPEG or DICOM files."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.config import DataConfig, setting
from core.data.labels import UNKNOWN
from core.data.manifest import check_there, listed, split_by_patient
from core.data.readers.base import MANIFEST_COLUMNS, READERS, REPORT
from core.data.readers.files import locate
from core.data.readers.tables import check_columns, parse_labels, parse_view, read_table
from core.data.types import View
from core.errors import DataError, require
from core.io import sha256_file

LOG = logging.getLogger(__name__)
NEEDED = ("path", "patient_id", "study_id", "view")
# Columns that are known to be no labels; any other column must hold labels or be named in data.ignore.
OTHER = (*NEEDED, "image_id", "split", "site", REPORT)
SPLIT_WORDS = {"train": "train", "training": "train", "validate": "validate", "valid": "validate", "val": "validate"}
SPLIT_WORDS |= {"validation": "validate", "test": "test", "testing": "test"}


@dataclass
class FolderConfig(DataConfig):
    """Settings of `folder`.

    The CSV needs the columns path, patient_id, study_id and view. It may have split (else patients are split by
    data.split_seed), image_id (else the path is the id), site, and labels: a column each (1, 0, -1, blank), or one
    column of findings, of which each distinct one becomes a label.
    """

    name: str = setting("folder", "one's own films, listed in a CSV")
    csv: str = setting("", "the CSV, a row per image")
    root: str = setting("", "folder that the CSV's paths start from; empty = the CSV's own")
    finding_column: str = setting("finding", "column of findings, used where no label columns are named")
    finding_separators: str = setting("|,;", "characters between the findings of one image")
    unlabelled: list[str] = setting(["todo"], "findings that mean: nobody has looked (blank always does)")
    label_columns: list[str] = setting([], "the label columns; empty = the finding column, else the columns left over")
    ignore: list[str] = setting(["licence", "license", "source_url"], "columns that are no labels")


@READERS.register("folder", config=FolderConfig)
class Folder:
    """One's own films from a CSV (path, patient_id, study_id, view, labels)."""

    VERSION = 2  # raised whenever the same CSV would give another manifest

    def __init__(self, config: FolderConfig) -> None:
        self.config = config

    def _csv(self) -> Path:
        require(self.config.csv != "", "data.csv is not set", "give the CSV, such as data.csv=/path/films.csv")
        path = Path(self.config.csv).expanduser().resolve()
        if not path.is_file():
            raise DataError(f"{path} does not exist", "data.csv must be the CSV with a row per image")
        return path

    def identity(self) -> dict[str, Any]:
        """The CSV's hash and how it is read."""
        config = self.config
        settings = (config.finding_column, config.finding_separators, config.unlabelled, config.label_columns)
        return {"version": self.VERSION, "csv": sha256_file(self._csv()), "settings": [*settings, config.ignore]}

    def manifest(self, workspace: Path) -> pd.DataFrame:
        """A row per image; `workspace` is not used."""
        csv = self._csv()
        table = read_table(csv, NEEDED)
        check_filled(table, csv)
        root = Path(self.config.root).expanduser().resolve() if self.config.root else csv.parent
        paths, there = locate(root, list(table["path"]), str(csv))
        check_there(paths, there, str(csv), "check data.root, or take these rows out of the table")
        manifest = pd.DataFrame(
            {
                "dataset": "folder",
                "patient_id": table["patient_id"],
                "study_id": table["study_id"],
                "image_id": table["image_id"] if "image_id" in table.columns else table["path"],
                "view": table["view"].map(parse_view),
                "view_raw": table["view"],
                "path": paths,
                "split": splits(table, csv, self.config),
                "site": table["site"] if "site" in table.columns else "",
                "labels_raw": self._findings(table),
                "photometric": "",
            },
            columns=list(MANIFEST_COLUMNS),
        ).astype("str")
        report_unknown_views(manifest)
        if self.config.reports:
            check_columns(table, [REPORT], csv)
            first = table.drop_duplicates("study_id").set_index("study_id")[REPORT]
            manifest[REPORT] = table["study_id"].map(first)
        return manifest.join(self._labels(table, csv))

    def _findings(self, table: pd.DataFrame) -> pd.Series | str:
        """The column of findings, where labels are taken from it."""
        named = not self.config.label_columns and self.config.finding_column in table.columns
        return table[self.config.finding_column] if named else ""

    def _labels(self, table: pd.DataFrame, csv: Path) -> pd.DataFrame:
        if self.config.label_columns:
            check_columns(table, self.config.label_columns, csv)
            return parse_labels(table, self.config.label_columns, csv)
        if self.config.finding_column in table.columns:
            column = table[self.config.finding_column]
            return finding_labels(column, self.config.finding_separators, self.config.unlabelled)
        names = [name for name in table.columns if name not in (*OTHER, *self.config.ignore)]
        if not names:
            blank = repr(self.config.finding_column)
            raise DataError(
                f"{csv} has neither label columns nor a column {blank}",
                f"its columns are: {', '.join(table.columns)}; set data.finding_column or data.label_columns, or add "
                f"a blank column {blank} for films that nobody has labelled",
            )
        return parse_labels(table, names, csv)


def check_filled(table: pd.DataFrame, csv: Path) -> None:
    """Raise DataError for a row without path, patient or study; a blank path means a study without an image."""
    for name in ("path", "patient_id", "study_id"):
        rows = np.flatnonzero(table[name] == "") + 2
        if len(rows):
            raise DataError(f"{csv}: column {name!r} is blank in row {listed([int(r) for r in rows])}", "fill it in")


def splits(table: pd.DataFrame, csv: Path, config: DataConfig) -> pd.Series:
    """The split of each row: the CSV's own where it has that column, else drawn by patient."""
    if "split" not in table.columns:
        return split_by_patient(table["patient_id"], config)
    known = table["split"].str.lower().map(SPLIT_WORDS)
    wrong = np.flatnonzero(known.isna())
    if len(wrong):
        what = f"{csv}, row {wrong[0] + 2}, column 'split': {table['split'].iloc[wrong[0]]!r} is no split"
        raise DataError(what, "use train, validate or test")
    return known


def finding_labels(column: pd.Series, separators: str, unlabelled: list[str]) -> pd.DataFrame:
    """A float column per distinct finding: 1 where a row names it, 0 where it names others, UNKNOWN if unlabelled."""
    skipped = {word.casefold() for word in unlabelled} | {""}
    pattern = f"[{re.escape(separators)}]" if separators else r"(?!)"
    named = [[word.strip() for word in re.split(pattern, text)] for text in column]
    named = [[word for word in words if word.casefold() not in skipped] for words in named]
    names = sorted({word for words in named for word in words})
    values = {name: [float(name in words) if words else UNKNOWN for words in named] for name in names}
    return pd.DataFrame(values, index=column.index, dtype=np.float32)


def report_unknown_views(manifest: pd.DataFrame) -> None:
    """Warn of view spellings that are taken as unknown: one of them may be a typing error."""
    unknown = manifest.loc[manifest["view"] == View.UNKNOWN.label, "view_raw"]
    if len(unknown):
        spellings = listed([repr(word) for word in sorted(set(unknown))])
        LOG.warning("%d images have a view that is neither frontal nor lateral: %s", len(unknown), spellings)
