"""CheXpert, small and full."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from core.config import setting
from core.data.manifest import validate_by_patient
from core.data.readers.base import READERS
from core.data.readers.public import PublicConfig, PublicReader, Source
from core.data.readers.tables import parse_labels, parse_view, read_table
from core.data.types import CHEXPERT_LABELS, View
from core.errors import DataError

COLUMNS = ("Path", "Frontal/Lateral", "AP/PA", *CHEXPERT_LABELS)
PATH = r"(?:[^/]*/)?(?P<part>train|valid)/(?P<rest>(?P<patient>patient\d+)/(?P<study>study\d+)/[^/]+)"


@dataclass
class CheXpertConfig(PublicConfig):
    """Settings of `chexpert`."""

    name: str = setting("chexpert", "CheXpert, small or full")


@READERS.register("chexpert", config=CheXpertConfig, source="Irvin et al. 2019, arXiv 1901.07031")
class CheXpert(PublicReader):
    """CheXpert v1.0, small or full: 224 thousand films of 65 thousand patients, 14 labels with uncertainty."""

    FILES = "train.csv, valid.csv, train/ and valid/ (or the folders 'CheXpert-v1.0 batch ...' of the full release)"
    PUBLISHED = {
        "images": 223_648, "images of train.csv": 223_414, "patients of train.csv": 64_540,
        "studies of train.csv": 187_641, "images of valid.csv": 234, "patients of valid.csv": 200,
    }  # fmt: skip

    def tables(self, root: Path) -> dict[str, Path]:
        """train.csv and valid.csv, in the root or in the one folder below it that has them."""
        found = [p for p in (root, *sorted(root.glob("CheXpert-v1.0*"))) if (p / "train.csv").is_file()]
        if len(found) != 1:
            several = " and ".join(p.name for p in found)
            what = f"several folders of {root} hold train.csv: {several}" if found else f"{root} has no train.csv"
            raise DataError(what, f"data.root must hold {self.FILES}")
        if not (found[0] / "valid.csv").is_file():
            raise DataError(f"{found[0]} has no valid.csv", "it is the official test set here: unpack it too")
        return {part: found[0] / f"{part}.csv" for part in ("train", "valid")}

    def read(self, root: Path) -> Source:
        """valid.csv becomes the test split, as is usual (the test set came later); validate is drawn from train.csv."""
        tables = self.tables(root)
        parts = {part: read_part(path, part) for part, path in tables.items()}
        parts["train"]["split"] = validate_by_patient(parts["train"]["patient_id"], self.config)
        rows = pd.concat(parts.values(), ignore_index=True)
        home = next(iter(tables.values())).parent
        rows["file"] = find_folders(root, home, rows)
        counts = {
            f"{name} of {part}.csv": table[key].nunique()
            for part, table in parts.items()
            for name, key in (("images", "image_id"), ("patients", "patient_id"), ("studies", "study_id"))
        }
        return Source(rows, counts=counts)


def read_part(path: Path, part: str) -> pd.DataFrame:
    """The rows of train.csv or valid.csv but for where the files lie (`rest`). Its labels are 1, 0, -1 and blank."""
    table = read_table(path, COLUMNS)
    names = table["Path"].str.extract(f"^{PATH}$")
    wrong = names.index[(names["part"] != part)]
    if len(wrong):
        what = f"{path}, row {wrong[0] + 2}, column 'Path': {table['Path'].iloc[wrong[0]]!r} is no path of the data set"
        raise DataError(what, f"it should read like CheXpert-v1.0/{part}/patient00001/study1/view1_frontal.jpg")
    rows = pd.DataFrame(
        {
            "patient_id": names["patient"],
            "study_id": names["patient"] + "/" + names["study"],
            "image_id": names["rest"].str.replace(r"\.[^./]*$", "", regex=True),
            "view": [view_of(*views) for views in zip(table["Frontal/Lateral"], table["AP/PA"], strict=True)],
            "view_raw": (table["Frontal/Lateral"] + " " + table["AP/PA"]).str.strip(),
            "split": "test",
            "part": part,
            "rest": names["rest"],
        }
    )
    return rows.join(parse_labels(table, CHEXPERT_LABELS, path))


def view_of(plane: str, projection: str) -> str:
    """The view; unknown where the two columns contradict, as in 17 rows that are Frontal and LL or RL."""
    view = parse_view(plane)
    return view if not projection or parse_view(projection) in (view, View.UNKNOWN.label) else View.UNKNOWN.label


def find_folders(root: Path, home: Path, rows: pd.DataFrame) -> pd.Series:
    """Where each file lies relative to the root, once `part` and `rest` are taken off the rows.

    home: the folder of the tables, which holds train/ and valid/; or the full release's patients for training lie
    over the folders 'CheXpert-v1.0 batch 2 (train 1)' and so on.
    """
    batches = sorted(root.glob("CheXpert-v1.0 batch * (train *)"))
    lying = {("train", patient.name): batch.name for batch in batches for patient in batch.iterdir()}
    usual = {part: str((home / part).relative_to(root)) for part in ("train", "valid")}
    parts, rest = rows.pop("part"), rows.pop("rest")
    keys = zip(parts, rows["patient_id"], strict=True)
    return pd.Series([lying.get(key, usual[key[0]]) for key in keys], index=rows.index) + "/" + rest
