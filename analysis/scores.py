"""Predictions of a trial as arrays, held against the studies that every other trial was measured on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.resample import Scores, TestStudies
from core.data.types import Ints, Strings

ScoreKey = tuple[str, float]
TrialScores = dict[ScoreKey, Scores]


class UnlikeStudiesError(ValueError):
    """Predictions of other studies, labels or truths than those they stand beside."""


@dataclass(frozen=True, eq=False)
class _Order:
    """How rows with these ids are put in order: by patient, then by study."""

    study: pa.Array
    patient: pa.Array
    rows: Ints
    study_ids: Strings
    codes: Ints


class ScoreReader:
    """Reads predictions. The order of the studies is worked out once for all trials that list them alike."""

    def __init__(self) -> None:
        self._orders: list[_Order] = []
        self._studies: list[TestStudies] = []

    def read(self, predictions: pa.Table) -> tuple[TestStudies, TrialScores]:
        """The test studies, and study-level probabilities by (evaluation, label fraction), [D, S, L], a row per draw.

        A missing label fraction (an evaluation that uses all labels) counts as 1. Raises UnlikeStudiesError when the
        evaluations of the trial are not of the same studies.
        """
        columns = {name: predictions.column(name).combine_chunks() for name in predictions.column_names}
        parts = list(_parts(columns))
        if not parts:
            raise UnlikeStudiesError("its predictions hold no study")
        studies = self._studies_of(columns, parts[0][1])
        stack = np.stack([columns[f"p:{label}"].to_numpy(zero_copy_only=False) for label in studies.labels], axis=1)
        found: dict[ScoreKey, list[Scores]] = {}
        for key, rows in parts:
            order = self._order(columns, rows)
            if order.study_ids is not studies.study_ids and not np.array_equal(order.study_ids, studies.study_ids):
                raise UnlikeStudiesError("two of its evaluations are of different studies")
            found.setdefault(key, []).append(stack[rows[order.rows]])
        return studies, {key: np.stack(draws) for key, draws in found.items()}

    def _studies_of(self, columns: dict[str, Any], rows: Ints) -> TestStudies:
        order = self._order(columns, rows)
        labels = tuple(name[2:] for name in columns if name.startswith("y:"))
        truth = [columns[f"y:{label}"].to_numpy(zero_copy_only=False)[rows[order.rows]] for label in labels]
        studies = TestStudies(order.study_ids, order.codes, labels, np.stack(truth, axis=1).astype(np.float64))
        for known in self._studies:
            if known.same_as(studies):
                return known
        self._studies.append(studies)
        return studies

    def _order(self, columns: dict[str, Any], rows: Ints) -> _Order:
        study, patient = (_take(columns[name], rows) for name in ("study_id", "patient_id"))
        for order in self._orders:
            if order.study.equals(study) and order.patient.equals(patient):
                return order
        study_ids, patients = (ids.to_numpy(zero_copy_only=False).astype(str) for ids in (study, patient))
        place = np.lexsort((study_ids, patients))
        codes = np.unique(patients[place], return_inverse=True)[1].astype(np.int64)
        self._orders.append(_Order(study, patient, place, study_ids[place], codes))
        return self._orders[-1]


def _take(column: pa.Array, rows: Ints) -> pa.Array:
    # Rows that stand together are cut out, not copied.
    whole = len(rows) == rows[-1] - rows[0] + 1
    return (column.slice(rows[0], len(rows)) if whole else column.take(pa.array(rows))).cast(pa.string())


def _parts(columns: dict[str, Any]) -> Iterator[tuple[ScoreKey, Ints]]:
    """(evaluation, label fraction) and rows of each evaluation, fraction and draw of whole studies, in that order."""
    names, evaluation = _codes(columns["evaluation"])
    views, view = _codes(columns["view"])
    fraction = columns["label_fraction"].to_numpy(zero_copy_only=False).astype(np.float64)
    fraction = np.where(np.isnan(fraction), 1.0, fraction).round(9)
    draw = columns["draw"].to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(view == views.index("study")) if "study" in views else np.array([], dtype=np.int64)
    together = np.stack([evaluation, np.unique(fraction, return_inverse=True)[1], draw])[:, rows]
    starts = np.flatnonzero(np.append(True, (together[:, 1:] != together[:, :-1]).any(axis=0))) if len(rows) else rows
    blocks: dict[tuple[str, float, int], list[Ints]] = {}
    for part in np.split(rows, starts[1:]) if len(rows) else []:
        first = part[0]
        blocks.setdefault((names[evaluation[first]], float(fraction[first]), int(draw[first])), []).append(part)
    for (name, share, _), found in sorted(blocks.items()):
        yield (name, share), found[0] if len(found) == 1 else np.concatenate(found)


def _codes(column: pa.Array) -> tuple[list[str], Ints]:
    encoded = column.dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)
