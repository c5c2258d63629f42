"""A seal beside a result: it tells that the result is whole without reading it, which counts with 10,000 of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.io import read_json, sha256_file, write_json

SCHEMA = 1
RESULT, SEAL = "result.json", "done.json"


def seal(folder: Path, files: Mapping[str, int]) -> None:
    """Write the seal of the result in `folder`, after everything else there. files: name -> length in bytes."""
    write_json(folder / SEAL, seal_of(folder, files))


def seal_of(folder: Path, files: Mapping[str, int]) -> dict[str, Any]:
    """What a seal says: the result's schema, length and hash, and the lengths of the files beside it."""
    path = folder / RESULT
    return {"schema": SCHEMA, "bytes": path.stat().st_size, "sha256": sha256_file(path), "files": dict(files)}


def sealed(folder: Path) -> bool:
    """Whether the result in `folder` is, byte for byte, the one that was sealed, and its files have their lengths.

    False says only that there is no proof: whoever needs to know then reads the result. It costs one listing of the
    folder (over NFS that brings the lengths along) and the reading of one small file. A result that is older than
    its seal has not been written since; for any other its hash is looked at, as after a copy, or where a clock is
    too coarse to tell which came first.
    """
    try:
        with os.scandir(folder) as listing:
            there = {entry.name: entry for entry in listing}
        if RESULT not in there or SEAL not in there:
            return False
        saved, result = read_json(folder / SEAL), there[RESULT].stat()
        lengths_hold = (saved["schema"], saved["bytes"]) == (SCHEMA, result.st_size) and all(
            name in there and there[name].stat().st_size == length for name, length in saved["files"].items()
        )
        untouched = result.st_mtime_ns < there[SEAL].stat().st_mtime_ns
        return lengths_hold and (untouched or sha256_file(folder / RESULT) == saved["sha256"])
    except (OSError, DataError, KeyError, TypeError, AttributeError):
        return False
