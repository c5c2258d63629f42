"""What the tables of evaluations share: rows with intervals over seeds and patients, from files beside the results."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.resample import BootstrapConfig, Doubles, Resampler, patient_weights
from analysis.scores import ScoreReader
from analysis.statistics import Estimate, SeedResamples, estimate, mark_best, moderated
from analysis.summary import Row, Summary
from core.errors import DataError

# Statistics of one trial, each in every resample of the patients: key -> [R].
Resampled = Mapping[str, Doubles]


@dataclass(frozen=True)
class KindColumn:
    """A column of a table. key: its name in the CSV. best: whether more is better, so that the best is marked."""

    key: str
    title: str
    best: bool = True


@dataclass(frozen=True)
class KindRow:
    """A row. estimates, marks: by column key; marks as in `mark_best`. found of declared seeds are there."""

    row: str
    estimates: Mapping[str, Estimate]
    marks: Mapping[str, str]
    found: int
    declared: int


@dataclass(frozen=True)
class KindTable:
    """What one evaluation says of an ablation. name: of the evaluation. notes: what a reader must know."""

    name: str
    title: str
    columns: tuple[KindColumn, ...]
    rows: tuple[KindRow, ...]
    notes: tuple[str, ...]


def kind_names() -> list[str]:
    """Names of the evaluations that have a table of their own."""
    package = importlib.import_module("analysis.kinds")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name != "base")


def tables(summary: Summary) -> list[KindTable]:
    """The tables of all evaluations that any row has results of."""
    found = [importlib.import_module(f"analysis.kinds.{name}").table(summary) for name in kind_names()]
    return [table for table in found if table is not None]


def trial_frames(summary: Summary, row: Row, file: str) -> Iterator[tuple[int, pd.DataFrame]]:
    """(seed, table) of each of a row's trials that has a whole `file`, at the main label fraction."""
    for trial in row.cell.trials_at(summary.main.fraction) or row.cell.trials:
        loaded = summary.collected.results.get(trial.id)
        if loaded is None or file not in loaded.result.files:
            continue
        try:
            yield trial.seed, pd.read_parquet(loaded.result.file(file))
        except DataError:
            # A damaged file is a missing seed, which the table shows; it is no reason to lose the others.
            continue


def resampled_rows(
    summary: Summary, file: str, measure: Callable[[pd.DataFrame, BootstrapConfig], Resampled]
) -> dict[str, dict[str, SeedResamples]]:
    """Statistic -> row name -> its resamples, a column per seed, of every row that has `file`.

    measure: the statistics of one trial. Of several trials of one seed the mean counts.
    """
    found: dict[str, dict[str, SeedResamples]] = {}
    for row in summary.rows:
        by_seed: dict[int, list[Resampled]] = {}
        for seed, frame in trial_frames(summary, row, file):
            by_seed.setdefault(seed, []).append(measure(frame, summary.config))
        for key in dict.fromkeys(key for parts in by_seed.values() for part in parts for key in part):
            values = [np.mean([part[key] for part in parts], axis=0) for parts in by_seed.values()]
            found.setdefault(key, {})[row.cell.name] = SeedResamples(tuple(by_seed), np.stack(values, axis=1))
    return {key: moderated(rows) for key, rows in found.items()}


def kind_rows(
    summary: Summary, columns: Sequence[KindColumn], resampled: Mapping[str, Mapping[str, SeedResamples]]
) -> tuple[KindRow, ...]:
    """A row per row of the main table that has any of the statistics."""
    config = summary.config
    marks = {c.key: mark_best(resampled[c.key], config) for c in columns if c.best and c.key in resampled}
    rows = []
    for row in summary.rows:
        name = row.cell.name
        own = {c.key: resampled[c.key][name] for c in columns if name in resampled.get(c.key, {})}
        if own:
            estimates = {key: estimate(found, config) for key, found in own.items()}
            seeds = max(len(found.seeds) for found in own.values())
            told = {key: by_row.get(name, "") for key, by_row in marks.items()}
            rows.append(KindRow(name, estimates, told, seeds, len(row.cell.seeds)))
    return tuple(rows)


def unit_means(units: pd.DataFrame, config: BootstrapConfig) -> dict[str, Doubles]:
    """metric -> its mean over films within a label and then over labels, in every resample of the patients: [R].

    units: columns as in core/evaluation/units.py. A label that a resample holds no film of is left out there.
    """
    names, patient = np.unique(units["patient_id"].to_numpy(dtype=str), return_inverse=True)
    weights = patient_weights(len(names), config).astype(np.float64)
    found = {}
    for metric, rows in units.assign(patient=patient).groupby("metric", sort=False):
        means = [_mean(part, weights) for _, part in rows.groupby("label", sort=True)]
        known = np.isfinite(means)
        total = np.where(known, means, 0.0).sum(axis=0)
        count = known.sum(axis=0)
        found[str(metric)] = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return found


def _mean(part: pd.DataFrame, weights: Doubles) -> Doubles:
    # Weighted by how often each film's patient is in the resample.
    patient, value = part["patient"].to_numpy(), part["value"].to_numpy(dtype=np.float64)
    sums = np.bincount(patient, value, len(weights)) @ weights
    counts = np.bincount(patient, minlength=len(weights)) @ weights
    mean: Doubles = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    return mean


def macro_auroc(predictions: pd.DataFrame, config: BootstrapConfig) -> Doubles:
    """Macro AUROC of one trial's predictions (columns as in `Evaluated`) in every resample of their patients: [R]."""
    studies, scores = ScoreReader().read(pa.Table.from_pandas(predictions, preserve_index=False))
    (only,) = scores.values()
    return Resampler(studies, config).labels(only).macro
