"""Tables that people write: read by column name, with errors that name the file, the row and the column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from core.data.types import View
from core.errors import DataError

LABEL_VALUES = {"1": 1.0, "0": 0.0, "-1": -1.0, "1.0": 1.0, "0.0": 0.0, "-1.0": -1.0, "": float("nan")}
FRONTAL = {"PA", "AP", "AP SUPINE", "AP HORIZONTAL", "AP ERECT", "FRONTAL", "POSTEROANTERIOR", "ANTEROPOSTERIOR"}
LATERAL = {"LATERAL", "L", "LL", "RL", "LEFT LATERAL", "RIGHT LATERAL"}


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A CSV, plain or gzipped, as stripped strings ("" = blank), with every column it has.

    Raises DataError when the file is absent, is no CSV, or lacks one of `columns`.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", "check the path") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder", "give the CSV file itself") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, EOFError, OSError) as error:
        raise DataError(f"{path} cannot be read as a CSV table: {str(error).splitlines()[0]}") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise DataError(f"{path} has rows with more values than the header has names", "mend the header or the commas")
    table.columns = table.columns.str.strip()
    check_columns(table, columns, path)
    if table.empty:
        raise DataError(f"{path} has a header but no rows")
    return table.apply(lambda column: column.str.strip())


def check_columns(table: pd.DataFrame, columns: Sequence[str], path: Path) -> None:
    """Raise DataError that names the missing columns and those that are there."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(repr(m) for m in missing)}",
            f"its columns are: {', '.join(table.columns)}",
        )


def parse_labels(table: pd.DataFrame, columns: Sequence[str], path: Path) -> pd.DataFrame:
    """Float columns of labels written as 1, 0, -1 or blank.

    Raises DataError with the file, the row as a text editor counts it (the header is row 1), column and value.
    """
    parsed = {}
    for name in columns:
        known = table[name].isin(LABEL_VALUES)
        if not known.all():
            row = int(np.flatnonzero(~known)[0])
            raise DataError(
                f"{path}, row {row + 2}, column {name!r}: {table[name].iloc[row]!r} is no label",
                "a label is 1, 0, -1 (uncertain) or blank; choose among columns by data.label_columns",
            )
        parsed[name] = table[name].map(LABEL_VALUES).astype(np.float32)
    return pd.DataFrame(parsed, index=table.index)


def parse_view(raw: str) -> str:
    """Manifest view (frontal | lateral | unknown) of a spelling such as PA, AP Supine, LL or Lateral."""
    word = " ".join(raw.upper().replace("_", " ").split())
    return (View.FRONTAL if word in FRONTAL else View.LATERAL if word in LATERAL else View.UNKNOWN).label


def numbers(table: pd.DataFrame, name: str, path: Path) -> pd.Series:
    """A column of numbers as float64, blank as NaN. Raises DataError with file, row, column and value."""
    parsed = pd.to_numeric(table[name], errors="coerce")
    wrong = np.flatnonzero(parsed.isna() & (table[name] != ""))
    if len(wrong):
        value = table[name].iloc[wrong[0]]
        raise DataError(f"{path}, row {wrong[0] + 2}, column {name!r}: {value!r} is no number", "mend the table")
    return parsed.astype(np.float64)
