"""The tables beside the films: MIMIC-CXR's metadata, split and chexpert, and the phantom's own studies and findings."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.data.types import CHEXPERT_LABELS, SPLITS
from core.io import write_bytes

METADATA = (
    "dicom_id",
    "subject_id",
    "study_id",
    "PerformedProcedureStepDescription",
    "ViewPosition",
    "Rows",
    "Columns",
    "StudyDate",
    "StudyTime",
    "ProcedureCodeSequence_CodeMeaning",
    "ViewCodeSequence_CodeMeaning",
    "PatientOrientationCodeSequence_CodeMeaning",
)
SPLIT = ("dicom_id", "study_id", "subject_id", "split")
STUDIES = ("study_id", "subject_id", "site", "sex", "age")
FINDINGS = ("study_id", "dicom_id", "finding", "severity", "side", "visibility", "x0", "y0", "x1", "y1")
VIEW_CODES = {"AP": "antero-posterior", "PA": "postero-anterior", "LATERAL": "lateral", "LL": "left lateral"}

Rows = dict[str, list[dict[str, Any]]]


def split_patients(subjects: Sequence[str], seed: int, validate: float, test: float) -> dict[str, str]:
    """Split of each patient, by a draw over all of them; every split gets at least one of three or more."""
    count = len(subjects)
    n_test = min(max(1, round(test * count)), count - 2)
    n_validate = min(max(1, round(validate * count)), count - n_test - 1)
    names = np.repeat(SPLITS[::-1], [n_test, n_validate, count - n_test - n_validate])
    order = np.random.default_rng([seed, 0x5911]).permutation(count)
    return {subjects[place]: str(name) for place, name in zip(order, names, strict=True)}


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A gzipped CSV with a time stamp of 0, so that equal rows are equal bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_bytes(path, gzip.compress(text.getvalue().encode(), compresslevel=6, mtime=0))


def metadata_row(image: dict[str, Any]) -> list[Any]:
    """One row of METADATA."""
    description = "CHEST (PA AND LAT)" if image["films"] > 1 else "CHEST (PORTABLE AP)"
    return [
        image["dicom_id"],
        image["subject_id"],
        image["study_id"],
        description,
        image["view"],
        image["rows"],
        image["columns"],
        image["date"],
        image["time"],
        description,
        VIEW_CODES[image["view"]],
        "Erect",
    ]


def label_row(study: dict[str, Any]) -> list[Any]:
    """One row of the chexpert table: 1.0, 0.0, -1.0 or nothing."""
    labels = [study["labels"][name] for name in CHEXPERT_LABELS]
    return [study["subject_id"], study["study_id"], *("" if v is None else float(v) for v in labels)]


def write_tables(folder: Path, patients: Sequence[Rows], splits: dict[str, str]) -> None:
    """Write all five tables from the rows of all patients, in order."""
    images = [row for patient in patients for row in patient["images"]]
    studies = [row for patient in patients for row in patient["studies"]]
    findings = [row for patient in patients for row in patient["findings"]]
    split = ([i["dicom_id"], i["study_id"], i["subject_id"], splits[i["subject_id"]]] for i in images)
    real = folder / "mimic-cxr-2.0.0"
    write_table(real.with_name(f"{real.name}-metadata.csv.gz"), METADATA, map(metadata_row, images))
    write_table(real.with_name(f"{real.name}-split.csv.gz"), SPLIT, split)
    labels = ("subject_id", "study_id", *CHEXPERT_LABELS)
    write_table(real.with_name(f"{real.name}-chexpert.csv.gz"), labels, map(label_row, studies))
    for name, columns, rows in (("studies", STUDIES, studies), ("findings", FINDINGS, findings)):
        write_table(folder / f"phantom-{name}.csv.gz", columns, ([row[c] for c in columns] for row in rows))
