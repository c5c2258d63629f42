"""Macro AUROC in parts of the test studies: by site, and by sex and age band where the data set's table has them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.comparisons import seed_scores
from analysis.resample import Resampler, TestStudies
from analysis.statistics import Estimate, SeedResamples, estimate, moderated
from analysis.summary import Summary
from core.data.store import INDEX, STUDIES
from core.data.types import Bools, Strings
from core.errors import DataError
from core.io import read_json

COLUMNS = ("site", "sex", "age")
AGES = (40, 60, 80)
# Fewer patients than this say nothing of a group.
FEWEST_PATIENTS = 10


@dataclass(frozen=True)
class Group:
    """Some of the test studies. by: what they are grouped by; name: of the group. chosen: [S]."""

    by: str
    name: str
    chosen: Bools


@dataclass(frozen=True)
class GroupResult:
    """A row's macro AUROC in a group, over how many studies and patients."""

    row: str
    by: str
    name: str
    n_studies: int
    n_patients: int
    estimate: Estimate


def data_folder(root: Path, fingerprint: str) -> Path | None:
    """Where a data set is built below `root`, by its fingerprint; None when it is not there."""
    for path in sorted((root / "data").glob(f"*/{INDEX}")):
        try:
            index = read_json(path)
        except DataError:
            # Being built, or cut short: not the data set of a finished result.
            continue
        if index.get("fingerprint") == fingerprint and (path.parent / STUDIES).exists():
            return path.parent
    return None


def study_table(root: Path, fingerprint: str) -> pd.DataFrame | None:
    """The studies of a built data set below `root`, by its fingerprint; None when it is not there."""
    folder = data_folder(root, fingerprint)
    return None if folder is None else pd.read_parquet(folder / STUDIES)


def groups(studies: TestStudies, table: pd.DataFrame) -> Iterator[Group]:
    """The groups of the test studies by every column that the table has; unknown ("") is none."""
    known = table.set_index(table["study_id"].astype(str)).reindex(studies.study_ids)
    for column in COLUMNS:
        if column not in known:
            continue
        values = known[column]
        named = age_bands(values) if column == "age" else values.fillna("").astype(str).to_numpy()
        for name in sorted(set(named) - {""}):
            chosen = named == name
            if len(np.unique(studies.patient[chosen])) >= FEWEST_PATIENTS:
                yield Group(column, str(name), chosen)


def age_bands(ages: pd.Series) -> Strings:
    """Ages in years as bands: below 40, then by 20 years; "" where unknown."""
    years = pd.to_numeric(ages, errors="coerce").to_numpy(dtype=float)
    middle = [f"{low} to {high - 1}" for low, high in itertools.pairwise(AGES)]
    names = [f"below {AGES[0]}", *middle, f"{AGES[-1]} and older"]
    place = np.searchsorted(AGES, np.nan_to_num(years), side="right")
    return np.where(np.isfinite(years), np.array(names)[place], "")


def part_of(studies: TestStudies, chosen: Bools) -> TestStudies:
    """The chosen studies, their patients counted anew."""
    patient = np.unique(studies.patient[chosen], return_inverse=True)[1].astype(np.int64)
    return TestStudies(studies.study_ids[chosen], patient, studies.labels, studies.truth[chosen])


def subgroup_results(summary: Summary, root: Path) -> list[GroupResult]:
    """The macro AUROC of every row in every group, at the main label fraction; none without the data set's table."""
    studies, origin = summary.collected.studies, summary.collected.provenance
    table = study_table(root, origin.fingerprint) if origin else None
    if studies is None or table is None:
        return []
    found = []
    for group in groups(studies, table):
        part = part_of(studies, group.chosen)
        resampler = Resampler(part, summary.config)
        for name, row in _resampled(summary, resampler, group.chosen).items():
            value = estimate(row, summary.config)
            found.append(GroupResult(name, group.by, group.name, part.n_studies, part.n_patients, value))
    return found


def _resampled(summary: Summary, resampler: Resampler, chosen: Bools) -> Mapping[str, SeedResamples]:
    found = {}
    for row in summary.rows:
        if summary.main.key in row.resamples:
            seeds = row.resamples[summary.main.key].seeds
            columns = [resampler.labels(seed_scores(summary, row, [seed])[:, chosen]).macro for seed in seeds]
            found[row.cell.name] = SeedResamples(seeds, np.stack(columns, axis=1))
    return moderated(found)
