"""Somebody's embeddings from a file: a matrix in .npy, or a column of a Parquet table with the ids beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.curation.points import Points, checked
from core.data.types import Strings
from core.errors import DataError, did_you_mean
from core.io import atomic_path

ROWS = 8192


@dataclass(frozen=True)
class Embeddings:
    """points: [N, D]. ids: [N] str, what each row is called. id_name: the name of that column."""

    points: Points
    ids: Strings
    id_name: str


def open_embeddings(path: Path, column: str, id_column: str, folder: Path) -> Embeddings:
    """The embeddings of a .npy matrix (memory-mapped; ids are row numbers) or of a Parquet table.

    column: of a Parquet table, lists of one length. id_column: "" = row numbers. folder: where the matrix of a Parquet
    table is kept, to be mapped. Raises DataError naming the file, the column or the row at fault.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist", "give a .npy matrix or a Parquet table of embeddings")
    if path.suffix == ".npy":
        if id_column:
            raise DataError(
                f"{path} has no columns, so no {id_column!r}", "leave the column of ids out, or give a Parquet table"
            )
        array = _mapped(path)
        return Embeddings(checked(array, str(path)), np.arange(len(array)).astype(str), "row")
    if path.suffix != ".parquet":
        raise DataError(f"{path} is neither .npy nor .parquet", "write the embeddings as one of these")
    return _of_table(path, column, id_column, folder / "embeddings.npy")


def _mapped(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is no .npy matrix ({error})", "write it with numpy.save") from error


def _of_table(path: Path, column: str, id_column: str, kept: Path) -> Embeddings:
    try:
        table = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is no Parquet table ({error})") from error
    with table:
        names = table.schema_arrow.names
        for wanted in (column, id_column):
            if wanted and wanted not in names:
                raise DataError(f"{path} has no column {wanted!r}", did_you_mean(wanted, names))
        kind = table.schema_arrow.field(column).type
        if not _is_matrix(kind):
            raise DataError(f"{path}: column {column!r} holds {kind}", "embeddings are lists of floating-point numbers")
        rows = table.metadata.num_rows
        if not kept.exists():
            _write_matrix(table, column, rows, kept, str(path))
        ids = _ids(table, id_column, str(path)) if id_column else np.arange(rows).astype(str)
    return Embeddings(checked(_mapped(kept), f"{path}, column {column!r}"), ids, id_column or "row")


def _is_matrix(kind: Any) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and pa.types.is_floating(kind.value_type))


def _write_matrix(table: pq.ParquetFile, column: str, rows: int, kept: Path, where: str) -> None:
    """The column as a .npy of float32 [rows, width], written a batch of rows at a time."""
    matrix, width, start = None, 0, 0
    with atomic_path(kept) as temporary:
        for batch in table.iter_batches(ROWS, columns=[column]):
            lists = batch.column(0)
            lengths = np.asarray(lists.value_lengths().fill_null(0))
            width = width or int(lengths[0])
            wrong = np.flatnonzero(lengths != width)
            if width == 0 or len(wrong):
                row = start + int(wrong[0] if len(wrong) else 0)
                raise DataError(
                    f"{where}: row {row} of column {column!r} has {lengths[row - start]} numbers, not {width}"
                )
            if matrix is None:
                matrix = np.lib.format.open_memmap(temporary, "w+", np.float32, (rows, width))
            values = np.asarray(lists.flatten().to_numpy(zero_copy_only=False), np.float32)
            matrix[start : start + len(batch)] = values.reshape(-1, width)
            start += len(batch)
        if matrix is None:
            raise DataError(f"{where} has no rows", "nothing to cluster")
        matrix.flush()


def _ids(table: pq.ParquetFile, column: str, where: str) -> Strings:
    ids = table.read([column]).column(0).to_pandas().to_numpy(dtype=str)
    names, first = np.unique(ids, return_index=True)
    if len(names) < len(ids):
        row = int(np.setdiff1d(np.arange(len(ids)), first)[0])
        raise DataError(
            f"{where}: {str(ids[row])!r} stands twice in column {column!r}", "give each row an id of its own"
        )
    found: Strings = ids
    return found
