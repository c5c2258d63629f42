"""Predictions of a trial as arrays, held against the studies that every other trial was measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.resample import Scores, TestStudies
from core.data.types import Ints, Strings

ScoreKey = tuple[str, float]
TrialScores = dict[ScoreKey, Scores]
PROBABILITY = "p:"
# Trials of one table are laid out alike; where they are not, there is nothing to be gained by remembering them all.
MOST_LAYOUTS = 16


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


@dataclass(frozen=True, eq=False)
class _Layout:
    """What predictions are of. rows: of each draw of an evaluation and label fraction, in the order of the studies."""

    studies: TestStudies
    rows: Mapping[ScoreKey, Sequence[Ints]]


class ScoreReader:
    """Reads predictions. What is alike in those of several trials, all but the probabilities, is worked out once."""

    def __init__(self) -> None:
        self._orders: list[_Order] = []
        self._studies: list[TestStudies] = []
        self._layouts: dict[bytes, _Layout] = {}

    def read(self, predictions: pa.Table) -> tuple[TestStudies, TrialScores]:
        """The test studies, and study-level probabilities by (evaluation, label fraction), [D, S, L], a row per draw.

        A missing label fraction (an evaluation that uses all labels) counts as 1. Raises UnlikeStudiesError when the
        evaluations of the trial are not of the same studies.
        """
        layout = self._layout(predictions)
        return layout.studies, _scores(predictions, layout)

    def read_file(self, path: Path) -> tuple[TestStudies, TrialScores]:
        """The same from a Parquet file, of which no more than the probabilities is decoded if the rest is known."""
        raw = path.read_bytes()
        with pq.ParquetFile(pa.BufferReader(raw)) as file:
            key = _rest(file, raw)
            layout = self._layouts.get(key)
            probabilities = [name for name in file.schema_arrow.names if name.startswith(PROBABILITY)]
            predictions = file.read(probabilities if layout else None, use_threads=False)
        if layout is None:
            if len(self._layouts) == MOST_LAYOUTS:
                self._layouts.clear()
            layout = self._layouts[key] = self._layout(predictions)
        return layout.studies, _scores(predictions, layout)

    def _layout(self, predictions: pa.Table) -> _Layout:
        columns = {name: predictions.column(name).combine_chunks() for name in predictions.column_names}
        parts = list(_parts(columns))
        if not parts:
            raise UnlikeStudiesError("its predictions hold no study")
        studies = self._studies_of(columns, parts[0][1])
        found: dict[ScoreKey, list[Ints]] = {}
        for key, rows in parts:
            order = self._order(columns, rows)
            if order.study_ids is not studies.study_ids and not np.array_equal(order.study_ids, studies.study_ids):
                raise UnlikeStudiesError("two of its evaluations are of different studies")
            found.setdefault(key, []).append(rows[order.rows])
        return _Layout(studies, found)

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


def _scores(predictions: pa.Table, layout: _Layout) -> TrialScores:
    by_label = [predictions.column(PROBABILITY + label).to_numpy() for label in layout.studies.labels]
    stack = np.stack(by_label, axis=1)
    return {key: np.stack([stack[rows] for rows in draws]) for key, draws in layout.rows.items()}


def _rest(file: pq.ParquetFile, raw: bytes) -> bytes:
    """A hash of all columns of a file but the probabilities, as they are encoded. raw: the file's bytes.

    Chunks of the same bytes, encoding and type are the same values, and comparing them takes a tenth of decoding them.
    """
    digest = hashlib.sha256(file.schema_arrow.remove_metadata().to_string().encode())
    for group in range(file.metadata.num_row_groups):
        chunks = file.metadata.row_group(group)
        for place in range(chunks.num_columns):
            chunk = chunks.column(place)
            if not chunk.path_in_schema.startswith(PROBABILITY):
                kind = (chunk.path_in_schema, chunk.physical_type, chunk.compression, chunk.encodings, chunk.num_values)
                first = min(chunk.dictionary_page_offset or chunk.data_page_offset, chunk.data_page_offset)
                digest.update(repr((*kind, chunk.total_compressed_size)).encode())
                digest.update(memoryview(raw)[first : first + chunk.total_compressed_size])
    return digest.digest()


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
