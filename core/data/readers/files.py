"""Where the images that a table names lie: below the root and nowhere else, found with one listing a folder."""

from __future__ import annotations

import functools
import os
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from core.data.types import Bools
from core.errors import DataError


def locate(root: Path, files: Sequence[str], table: str) -> tuple[list[str], Bools]:
    """The absolute path of each of `files` and whether it is there, [N].

    root: folder that relative paths start from. table: what names them, for messages; its row 2 holds files[0].
    Raises DataError for a path that leaves the root, be it absolute, by `..` or by a link.
    """
    root = root.resolve()
    paths = [posixpath.normpath(posixpath.join(root, file)) for file in files]
    there = np.zeros(len(paths), dtype=bool)
    listing = functools.cache(functools.partial(_listing, root))
    for row, path in enumerate(paths):
        folder, _, name = path.rpartition("/")
        inside = path.startswith(f"{root}/") and "\0" not in path
        if not (inside and listing(folder).get(name, True)):
            raise DataError(
                f"{table}, row {row + 2}: path {files[row]!r} leads out of {root}",
                "paths are relative to data.root and stay inside it",
            )
        there[row] = name in listing(folder)
    return paths, there


def _listing(root: Path, folder: str) -> dict[str, bool]:
    """Name -> whether it really lies in the root, of all that a folder holds; empty where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            links = {entry.name: entry.is_symlink() for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    home = Path(folder).resolve().is_relative_to(root)
    return {name: home and (not link or _target_inside(root, folder, name)) for name, link in links.items()}


def _target_inside(root: Path, folder: str, name: str) -> bool:
    return Path(folder, name).resolve().is_relative_to(root)


def files_by_name(root: Path, folders: Iterable[Path], suffixes: Sequence[str]) -> dict[str, str]:
    """File name -> path relative to `root`, of the files with one of `suffixes` directly in `folders`.

    Where a name stands in several folders, the first of them counts.
    """
    found: dict[str, str] = {}
    for folder in folders:
        for name in sorted(os.listdir(folder)):
            if name.lower().endswith(tuple(suffixes)):
                found.setdefault(name, str(folder.relative_to(root) / name))
    return found


def folders_below(root: Path) -> list[Path]:
    """`root` and all folders below it, sorted; hidden ones and links are not entered."""
    found = []
    for folder, below, _ in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        found.append(Path(folder))
    return found


def find_file(root: Path, names: Sequence[str]) -> Path | None:
    """The first of `names`, plain or gzipped, that is a file in `root`."""
    candidates = (root / (name + ending) for name in names for ending in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def need_file(root: Path, names: Sequence[str], hint: str) -> Path:
    """The first of `names`, plain or gzipped, that is a file in `root`; DataError where there is none."""
    found = find_file(root, names)
    if found is None:
        raise DataError(f"{root} has no {' or '.join(names)}", hint)
    return found
