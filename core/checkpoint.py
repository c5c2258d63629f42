"""Checkpoints: written whole or not at all, checked when read, the latest k kept.

A checkpoint is <folder>/step-<step>.pt (tensors and plain values only, read with weights_only=True) and
step-<step>.json with its SHA-256, written last: a checkpoint without its JSON file does not exist.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import torch

from core.errors import DataError
from core.io import atomic_path, read_json, sha256_file, write_json

# A method's weights once it is trained; then its checkpoints are gone.


def _weights(folder: Path, step: int) -> Path:
    return folder / f"step-{step:09d}.pt"


def saved_steps(folder: Path) -> list[int]:
    """Steps of the checkpoints in `folder`, oldest first."""
    return sorted(int(path.stem.split("-")[1]) for path in folder.glob("step-*.json"))


def save(folder: Path, step: int, state: dict[str, Any], keep: int) -> None:
    """Write the checkpoint of `step` atomically, then remove all but the latest `keep`."""
    path = _weights(folder, step)
    with atomic_path(path) as temporary:
        torch.save(state, temporary)
    write_json(path.with_suffix(".json"), {"step": step, "sha256": sha256_file(path)})
    for old in saved_steps(folder)[:-keep]:
        _remove(folder, old)


def remove(folder: Path) -> None:
    """Remove the folder with every checkpoint in it, damaged ones too."""
    shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path, step: int) -> None:
    path = _weights(folder, step)
    path.with_suffix(".json").unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def load(folder: Path, step: int) -> dict[str, Any]:
    """The state saved at `step`. Raises DataError that names the file when it is cut or changed."""
    path = _weights(folder, step)
    expected = read_json(path.with_suffix(".json"))["sha256"]
    if not path.exists() or sha256_file(path) != expected:
        raise DataError(f"checkpoint {path} is not what was written (cut short or changed)", "it is passed over")
    return torch.load(path, map_location="cpu", weights_only=True)


def latest(folder: Path) -> tuple[int, dict[str, Any]] | None:
    """The newest checkpoint that verifies, as (step, state); None where there is none.

    A damaged one is reported on stderr and set aside as *.damaged, so that nothing depends on it again.
    """
    for step in reversed(saved_steps(folder)):
        try:
            return step, load(folder, step)
        except DataError as damage:
            print(f"warning: {damage}", file=sys.stderr)
            path = _weights(folder, step)
            path.with_suffix(".json").unlink(missing_ok=True)
            if path.exists():
                path.replace(path.with_suffix(".damaged"))
    return None
