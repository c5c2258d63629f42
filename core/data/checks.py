"""The data card: what a built data set holds, in tables for people, and whether it is sound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.data.labels import UNKNOWN
from core.data.pairings.base import PAIRINGS
from core.data.store import StudyStore, StudyTable, open_store, read_index
from core.data.types import SPLITS, View
from core.errors import DataError


def check(folder: Path) -> StudyStore:
    """Verify a built data set, every byte of its shards included. Raises DataError that names what is wrong."""
    store = open_store(folder, deep=True)
    for split in SPLITS:
        table = store.splits[split]
        if (np.diff(table.start) < 1).any():
            empty = table.study_ids[np.diff(table.start) < 1]
            raise DataError(f"{folder}: study without an image in {split}: {empty[0]}", "build the data set anew")
        table.pixels.read(np.arange(min(1, table.n_images)))
    return store


def data_card(folder: Path, checks: Sequence[str] = ()) -> str:
    """The card as Markdown: studies, views, labels and sites per split, pairs, and lines on what was checked.

    checks: lines of a check that was made just now; without them, what the build found.
    """
    store, index = open_store(folder), read_index(folder)
    tables = [store.splits[split] for split in SPLITS]
    parts = [
        f"# {folder.name}\n\nfingerprint {store.fingerprint}, {store.size} px, {len(index['shards'])} shards",
        _section("Splits", split_counts(tables)),
        _section("Images by view", view_counts(tables)),
        _section("Studies by label", label_counts(tables)),
        _section("Studies by site", site_counts(tables)),
        _section("What each pairing strategy forms in one epoch of train", pair_counts(store.splits["train"])),
        "## Checks\n\n" + "\n".join(f"- {line}" for line in [*(checks or findings(index, tables)), *index["warnings"]]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def split_counts(tables: Sequence[StudyTable]) -> pd.DataFrame:
    """Patients, studies, images, and studies with a frontal and a lateral, of each split."""
    rows = [
        {
            "split": table.split,
            "patients": len(np.unique(table.patient_ids)),
            "studies": table.n_studies,
            "images": table.n_images,
            "frontal and lateral": int(_both_views(table).sum()),
        }
        for table in tables
    ]
    return pd.DataFrame(rows)


def _both_views(table: StudyTable) -> np.ndarray:
    has = [np.add.reduceat(table.view == view, table.start[:-1]) > 0 for view in (View.FRONTAL, View.LATERAL)]
    both: np.ndarray = has[0] & has[1]
    return both


def view_counts(tables: Sequence[StudyTable]) -> pd.DataFrame:
    """Images of each view in each split."""
    rows = [
        {"split": table.split, **{view.label: int((table.view == view).sum()) for view in View}} for table in tables
    ]
    return pd.DataFrame(rows)


def label_counts(tables: Sequence[StudyTable]) -> pd.DataFrame:
    """Positive, negative, uncertain, unmentioned and unknown studies of each label and split."""
    rows = []
    for number, name in enumerate(tables[0].label_names):
        for table in tables:
            values = table.labels[:, number]
            kinds = {"positive": values == 1, "negative": values == 0, "uncertain": values == -1}
            kinds |= {"not mentioned": np.isnan(values), "unknown": values == UNKNOWN}
            counts = {kind: int(found.sum()) for kind, found in kinds.items()}
            rows.append({"label": name, "split": table.split, **counts})
    return pd.DataFrame(rows)


def site_counts(tables: Sequence[StudyTable]) -> pd.DataFrame:
    """Studies of each site in each split; empty where no site is known."""
    sites = sorted({str(site) for table in tables for site in table.sites} - {""})
    rows = [{"site": site, **{table.split: int((table.sites == site).sum()) for table in tables}} for site in sites]
    return pd.DataFrame(rows)


def pair_counts(table: StudyTable, seed: int = 0) -> pd.DataFrame:
    """Pairs of each kind (of kinds without a pair: studies) that each strategy's defaults form in one epoch."""
    rows = []
    for entry in PAIRINGS.entries():
        pairs = PAIRINGS.build(entry.config()).draw(table, np.random.default_rng([seed, 0, 0]))
        for kind, count in pairs.counts(np.arange(len(pairs.anchor))).items():
            rows.append({"pairing": entry.name, "kind": kind, "count": count})
    return pd.DataFrame(rows)


def findings(index: dict[str, Any], tables: Sequence[StudyTable]) -> list[str]:
    """One line for each check that the build made."""
    patients = [set(table.patient_ids) for table in tables]
    shared = sum(map(len, patients)) - len(set().union(*patients))
    return [
        f"patients in more than one split: {shared}",
        f"pictures in more than one split: {len(index['duplicates_across_splits'])}",
        f"images that could not be read: {index['quarantined']}",
    ]


def _section(title: str, table: pd.DataFrame) -> str:
    return f"## {title}\n\n{table.to_markdown(index=False)}" if len(table) else ""
