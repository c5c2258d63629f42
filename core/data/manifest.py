"""The manifest: its columns, the checks every data set passes, the split by patient, one label row a study."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.config import DataConfig
from core.data.labels import UNKNOWN
from core.data.readers.base import MANIFEST_COLUMNS, REPORT
from core.data.types import SPLITS, Bools, View
from core.errors import ConfigError, DataError, did_you_mean

LOG = logging.getLogger(__name__)
LISTED = 10
ALIKE = 3


def label_columns(manifest: pd.DataFrame) -> list[str]:
    """The label columns of a manifest: all that are neither MANIFEST_COLUMNS nor the report, in their order."""
    return [str(name) for name in manifest.columns if name not in (*MANIFEST_COLUMNS, REPORT)]


def reports_of(manifest: pd.DataFrame) -> pd.Series:
    """The report of each study that has one, by study_id. Raises DataError when none of the training studies has."""
    if REPORT not in manifest.columns:
        names = listed(sorted(set(manifest["dataset"])))
        raise DataError(f"data.reports=true, and no reports are read of {names}", "leave data.reports off, see README")
    written = manifest[manifest[REPORT] != ""].drop_duplicates("study_id")
    if "train" not in set(written["split"]):
        raise DataError(
            "data.reports=true, and no study of the training split has a report",
            "check where the reports should be (README, Reports), or leave data.reports off",
        )
    return written.set_index("study_id")[REPORT]


def listed(items: Sequence[object]) -> str:
    """The first ten of `items` and how many there are in all."""
    shown = ", ".join(str(item) for item in items[:LISTED])
    return shown if len(items) <= LISTED else f"{shown}, ... ({len(items)} in all)"


def same(names: Sequence[str]) -> str:
    """Names of one and the same thing: the first few, and how many there are in all."""
    shown = " = ".join(names[:ALIKE])
    return shown if len(names) <= ALIKE else f"{shown} = ... ({len(names)} alike)"


def validate(manifest: pd.DataFrame) -> pd.DataFrame:
    """The manifest, once it is sure that a data set can be built from it.

    Raises DataError for a missing column, a blank or repeated id, an unknown view or split, a study of two
    patients, a patient or study in two splits, a label outside 1, 0, -1, NaN and UNKNOWN, an empty split.
    """
    missing = [name for name in MANIFEST_COLUMNS if name not in manifest.columns]
    if missing:
        raise DataError(f"the manifest lacks {listed(missing)}", f"it has {listed(list(manifest.columns))}")
    for name in ("patient_id", "study_id", "image_id", "path"):
        blank = np.flatnonzero(manifest[name].isna() | (manifest[name] == ""))
        if len(blank):
            raise DataError(f"{name} is blank in manifest rows {listed([int(i) for i in blank])}")
    _check_values(manifest, "view", [view.label for view in View])
    _check_values(manifest, "split", SPLITS)
    repeated = manifest["image_id"][manifest["image_id"].duplicated()].unique()
    if len(repeated):
        raise DataError(f"image_id appears more than once: {listed(list(repeated))}", "give each image its own")
    _check_labels(manifest)
    check_one_parent(manifest, "study_id", "patient_id", "make study ids unique over patients")
    check_one_parent(manifest, "patient_id", "split", "give all images of a patient one split")
    absent = [split for split in SPLITS if split not in set(manifest["split"])]
    if absent:
        raise DataError(f"no study is in split {listed(absent)}", "every one of train, validate, test needs a patient")
    return manifest


def _check_values(manifest: pd.DataFrame, column: str, allowed: Sequence[str]) -> None:
    wrong = manifest.loc[~manifest[column].isin(allowed), column].unique()
    if len(wrong):
        raise DataError(f"{column} is {listed([repr(w) for w in wrong])}", f"allowed: {', '.join(allowed)}")


def _check_labels(manifest: pd.DataFrame) -> None:
    for name in label_columns(manifest):
        wrong = manifest.loc[~(manifest[name].isna() | manifest[name].isin([1, 0, -1, UNKNOWN])), name].unique()
        if len(wrong):
            raise DataError(f"label {name} is {listed(list(wrong))}", "a label is 1, 0, -1 (uncertain) or NaN")


def check_one_parent(table: pd.DataFrame, child: str, parent: str, hint: str) -> None:
    """Raise DataError naming each `child` (a study, a patient) that belongs to more than one `parent`."""
    counts = table.drop_duplicates([child, parent])[child].value_counts()
    several = sorted(counts.index[counts > 1])
    if several:
        raise DataError(f"{child} with more than one {parent}: {listed(several)}", hint)


def check_there(paths: Sequence[str], there: Bools, table: str, hint: str) -> None:
    """Raise DataError with the first ten and the count of the paths that are not `there` [N]."""
    missing = [path for path, found in zip(paths, there, strict=True) if not found]
    if missing:
        names = "\n  ".join(missing[:LISTED])
        raise DataError(f"{len(missing)} of {len(paths)} images named in {table} do not exist:\n  {names}", hint)


def select_labels(manifest: pd.DataFrame, wanted: Sequence[str]) -> pd.DataFrame:
    """The manifest with the label columns of `data.labels` in that order; all of them when it is empty.

    Raises ConfigError naming the nearest labels for one that does not exist.
    """
    present = label_columns(manifest)
    for name in wanted:
        if name not in present:
            raise ConfigError(f"data.labels: there is no label {name!r}", did_you_mean(name, present))
    return manifest[[*MANIFEST_COLUMNS, *(wanted or present)]]


def split_by_patient(patient_ids: pd.Series, config: DataConfig) -> pd.Series:
    """The split of each row, drawn by patient: the patients in order of a seeded hash, cut by the fractions.

    A patient's place depends on its id and `data.split_seed` alone, so new patients hardly move the others.
    Each split gets at least one patient while there are three.
    """
    patients = _drawn(patient_ids, config)
    test = max(1, round(config.test_fraction * len(patients)))
    validate = max(1, round(config.validate_fraction * len(patients)))
    split = {p: "test" if i < test else "validate" if i < test + validate else "train" for i, p in enumerate(patients)}
    return patient_ids.map(split)


def validate_by_patient(patient_ids: pd.Series, config: DataConfig) -> pd.Series:
    """train or validate for each row, drawn by patient as `split_by_patient` does, where the test set is official."""
    patients = _drawn(patient_ids, config)
    chosen = set(patients[: max(1, round(config.validate_fraction * len(patients)))])
    return patient_ids.map(lambda patient: "validate" if patient in chosen else "train")


def _drawn(patient_ids: pd.Series, config: DataConfig) -> list[str]:
    """The patients in the order of a seeded hash."""
    return sorted(set(patient_ids), key=lambda p: hashlib.sha256(f"{config.split_seed}:{p}".encode()).hexdigest())


def studies_of(manifest: pd.DataFrame) -> pd.DataFrame:
    """One row a study: study_id, patient_id, split, site and labels, in an order that mixes patients.

    Where images of a study differ in a label, the study is positive if any image is, else uncertain if any is, else
    negative if any is, else not mentioned if it is so in any, else unknown. The order is that of a hash of the id: the
    same for every run.
    """
    names = label_columns(manifest)
    grouped = manifest.groupby("study_id", sort=True)
    table = grouped[["patient_id", "split", "site"]].first()
    # A rank that max() understands.
    ranks = {1.0: 2.0, -1.0: 1.0, 0.0: 0.0, np.nan: -1.0, UNKNOWN: -2.0}
    best = manifest[names].astype(float).replace(ranks).groupby(manifest["study_id"], sort=True).max()
    table[names] = best.replace({rank: value for value, rank in ranks.items()}).astype(np.float32)
    table = table.reset_index()
    table["order"] = [hashlib.sha256(s.encode()).hexdigest() for s in table["study_id"]]
    return table.sort_values("order").drop(columns="order").reset_index(drop=True)


def one_class_labels(studies: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """A sentence for each split in which labels have no AUROC, because one class of them is missing."""
    found = []
    kinds = {(): "no known values", (0.0,): "only negatives", (1.0,): "only positives"}
    for split in SPLITS:
        rows = studies[studies["split"] == split]
        classes = {name: tuple(sorted(set(rows[name].dropna()) & {0.0, 1.0})) for name in names}
        for values, what in kinds.items():
            poor = [name for name in names if classes[name] == values]
            if poor:
                found.append(f"{split} ({len(rows)} studies) has {what} of label {listed(poor)}")
    return found
