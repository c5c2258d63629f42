"""Numbers that papers report, to stand beside ours: read from ablations/published/*.csv, never measured here."""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from pathlib import Path

from core.errors import DataError
from sweeps.ablation import ABLATIONS

PUBLISHED = ABLATIONS / "published"


@dataclass(frozen=True)
class Published:
    """A number of a paper. ablation: beside whose table it stands, or "". value: None = not known."""

    ablation: str
    source: str
    method: str
    setting: str
    metric: str
    value: float | None
    note: str


def read_published(folder: Path = PUBLISHED) -> list[Published]:
    """All published numbers, by file and line. Raises DataError that names the file, the line and the column."""
    return [entry for path in sorted(folder.glob("*.csv")) for entry in _read(path)]


def _read(path: Path) -> list[Published]:
    names = [field.name for field in fields(Published)]
    with path.open(newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        if reader.fieldnames != names:
            raise DataError(f"{path}: its columns are {reader.fieldnames}", f"write {','.join(names)}")
        return [_entry(path, number, row) for number, row in enumerate(reader, start=2)]


def _entry(path: Path, number: int, row: dict[str, str]) -> Published:
    try:
        if None in row.values() or None in row:
            raise ValueError("it has another number of columns than the heading")
        if not row["source"]:
            raise ValueError("source is empty")
        value = float(row["value"]) if row["value"] else None
    except ValueError as error:
        raise DataError(
            f"{path}, line {number}: {error}", "every number has a source; an unknown value is empty"
        ) from error
    return Published(**{**row, "value": value})  # type: ignore[arg-type]
