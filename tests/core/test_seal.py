"""A seal proves that a result is whole, and proves nothing once anything about it has changed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core.seal import RESULT, SEAL, seal, sealed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A result of an hour ago, a file beside it, and their seal."""
    folder = tmp_path / "key"
    folder.mkdir()
    (folder / RESULT).write_text('{"metrics": [1, 2, 3]}')
    (folder / "predictions.parquet").write_bytes(b"12345")
    seal(folder, {"predictions.parquet": 5})
    age(folder / RESULT, 3600)
    assert sealed(folder)
    return folder


def age(path: Path, seconds: float) -> None:
    changed = path.stat().st_mtime - seconds
    os.utime(path, (changed, changed))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"2", b"7"))


CHANGES: dict[str, Callable[[Path], object]] = {
    "result cut": lambda folder: cut(folder / RESULT),
    "result cut, and it looks old": lambda folder: (cut(folder / RESULT), age(folder / RESULT, 7200)),
    "result changed at the same length": lambda folder: damage(folder / RESULT),
    "result gone": lambda folder: (folder / RESULT).unlink(),
    "file cut": lambda folder: cut(folder / "predictions.parquet"),
    "file gone": lambda folder: (folder / "predictions.parquet").unlink(),
    "seal cut": lambda folder: (folder / SEAL).write_text((folder / SEAL).read_text()[:60]),
    "seal empty": lambda folder: (folder / SEAL).write_text(""),
    "seal of something else": lambda folder: (folder / SEAL).write_text("[]"),
    "seal gone": lambda folder: (folder / SEAL).unlink(),
    "folder gone": shutil.rmtree,
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changed_breaks_the_seal(folder: Path, change: str) -> None:
    CHANGES[change](folder)
    assert not sealed(folder)


def test_a_result_of_another_schema_is_none(folder: Path) -> None:
    saved = json.loads((folder / SEAL).read_text())
    (folder / SEAL).write_text(json.dumps({**saved, "schema": 99}))
    assert not sealed(folder)


def test_a_result_as_young_as_its_seal_is_judged_by_its_bytes(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile))
    os.utime(copy / RESULT)
    assert sealed(copy)
    stat = (copy / SEAL).stat()
    damage(copy / RESULT)
    os.utime(copy / RESULT, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not sealed(copy)
