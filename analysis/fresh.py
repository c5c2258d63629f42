"""Whether the report on disk still says what the results on disk say, so that it need not be drawn again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.report import ReportSummary, write_reports
from core.errors import DataError
from core.io import canonical_hash, read_json, sha256_file, write_json

RECORD = "inputs.json"
# What a report is made from, below the root.
INPUTS = (
    "sweeps/*/plan.json",
    "trials/*/status.json",
    "trials/*/telemetry.jsonl",
    "trials/*/evaluations/*/result.json",
    "trials/*/evaluations/*/gallery.npz",
)


def inputs_key(root: Path, names: list[str]) -> str:
    """A hash of which ablations are reported, of every input's size and time, and of the code that reports."""
    found = sorted(path for pattern in INPUTS for path in root.glob(pattern))
    inputs = [(str(path.relative_to(root)), path.stat().st_size, path.stat().st_mtime_ns) for path in found]
    code = [sha256_file(path) for path in sorted(Path(__file__).parent.rglob("*.py"))]
    return canonical_hash([sorted(names), inputs, code], 64)


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != RECORD)


def _remembered(root: Path, key: str) -> ReportSummary | None:
    folder = root / "reports"
    try:
        record: dict[str, Any] = read_json(folder / RECORD)
    except DataError:
        # no report yet, or a record cut short: the report is written again
        return None
    if record.get("key") != key or record.get("files") != _files(folder):
        return None
    return ReportSummary(root / record["path"], record["main_table"])


def ensure_reports(root: Path, names: list[str]) -> ReportSummary:
    """The report of `names`: the one on disk if nothing has changed since it was written, else a new one."""
    key = inputs_key(root, names)
    known = _remembered(root, key)
    if known is not None:
        return known
    summary = write_reports(root, names)
    record = {
        "key": key,
        "path": str(summary.path.relative_to(root)),
        "main_table": summary.main_table,
        "files": _files(root / "reports"),
    }
    write_json(root / "reports" / RECORD, record)
    return summary
