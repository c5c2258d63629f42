"""Embeddings from files: matrices and tables of either kind hold the same points, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.curation.embeddings import open_embeddings
from core.curation.files import write_embeddings
from core.errors import DataError

X = np.random.default_rng(0).normal(size=(23, 5)).astype(np.float32)
IDS = [f"s{number:02d}" for number in range(23)]


def table(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=7)
    return path


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float64()), pa.list_(pa.float16(), 5)])
def test_a_table_holds_the_same_points_as_a_matrix(
    kind: pa.DataType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.curation.embeddings.ROWS", 6)
    np.save(tmp_path / "x.npy", X.astype(np.float16))
    rows = X.astype(np.float16 if "halffloat" in str(kind) else np.float32)
    path = table(tmp_path / "x.parquet", embedding=pa.array(list(rows), kind), id=IDS, other=list(range(23)))
    matrix = open_embeddings(tmp_path / "x.npy", "embedding", "", tmp_path)
    found = open_embeddings(path, "embedding", "id", tmp_path / "kept")
    assert isinstance(matrix.points.array, np.memmap)
    assert isinstance(found.points.array, np.memmap)
    np.testing.assert_allclose(found.points.whole(), matrix.points.whole(), atol=2e-3)
    assert (found.id_name, found.ids.tolist()) == ("id", IDS)
    assert (matrix.id_name, matrix.ids.tolist()) == ("row", [str(number) for number in range(23)])


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "e.parquet", np.array(IDS), X)
    found = open_embeddings(tmp_path / "e.parquet", "embedding", "study_id", tmp_path)
    np.testing.assert_array_equal(found.points.array, X)
    assert found.ids.tolist() == IDS


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    good = pa.array(list(X), pa.list_(pa.float32()))
    ragged = pa.array([*list(X[:9]), X[9][:4], *list(X[10:])], pa.list_(pa.float32()))
    nan = np.where(np.arange(23)[:, None] == 11, np.nan, X).astype(np.float32)
    path = table(
        tmp_path / "x.parquet", embedding=good, id=[*IDS[:22], "s03"], ragged=ragged, nan=pa.array(list(nan)), text=IDS
    )
    np.savez(tmp_path / "z.npz", X)
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "no.parquet").write_text("study_id,embedding")
    np.save(tmp_path / "x.npy", X)
    for name, column, ids, message in (
        ("absent.npy", "", "", "absent.npy does not exist"),
        ("z.npz", "", "", r"neither .npy nor .parquet"),
        ("cut.npy", "", "", "is no .npy matrix"),
        ("no.parquet", "embedding", "", "is no Parquet table"),
        ("x.npy", "embedding", "id", "has no columns, so no 'id'"),
        ("x.parquet", "embeding", "", "(?s)no column 'embeding'.*did you mean embedding"),
        ("x.parquet", "embedding", "idd", "no column 'idd'"),
        ("x.parquet", "text", "", "column 'text' holds string"),
        ("x.parquet", "embedding", "id", "'s03' stands twice in column 'id'"),
        ("x.parquet", "ragged", "", "row 9 of column 'ragged' has 4 numbers, not 5"),
        ("x.parquet", "nan", "", "column 'nan': row 11 is not finite"),
    ):
        folder = tmp_path / f"{name} {column}"
        with pytest.raises(DataError, match=message):
            open_embeddings(tmp_path / name, column, ids, folder)
    assert path.exists()
