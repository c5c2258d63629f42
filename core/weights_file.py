"""Where initial weights lie and what they are, without reading them: what a trial's id needs."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from core.config import InitConfig
from core.errors import CheckpointError
from core.io import sha256_file

# Of a trained trial, in its folder.
MODEL_FILE = "model.safetensors"


def weights_file(config: InitConfig) -> Path:
    """The file that `init.path` means. Raises CheckpointError when a folder is no trained trial's."""
    path = Path(config.path).expanduser()
    if path.is_dir():
        path = path / MODEL_FILE
    if not path.is_file():
        raise CheckpointError(
            f"init.path={config.path}: there is no {path}", "give a trained trial's folder, or a file"
        )
    return path


def initial_identity(config: InitConfig) -> dict[str, Any]:
    """What makes a trial with initial weights another trial: their content, however it is named. {} without any."""
    if not config.path:
        return {}
    path = weights_file(config)
    about = path.stat()
    digest = _digest((path, about.st_size, about.st_mtime_ns))
    return {"init": {"sha256": digest, "mean": list(config.mean), "std": list(config.std)}}


@functools.lru_cache(maxsize=64)
def _digest(version: tuple[Path, int, int]) -> str:
    # All trials of a sweep ask for the same file: it is read again only where its size or time has changed.
    return sha256_file(version[0])
