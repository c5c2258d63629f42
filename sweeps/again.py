"""What a sweep was asked with, kept beside its plan, so that `viewpair resume` needs no words repeated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.errors import ConfigError, DataError
from core.io import read_json, write_json
from sweeps.folders import sweep_folder
from sweeps.plan import key_of

COMMAND = "command.json"
# what may be said anew when a sweep is resumed: where and how it runs, never what
CHANGEABLE = ("ablation", "launcher", "paths", "runtime")


def remember(root: Path, ablation: str, file: str, words: Sequence[str]) -> None:
    """Keep the overrides of a sweep. file: the ablation as it was named, perhaps a path."""
    kept = [word for word in words if key_of(word).split(".")[0] not in ("ablation", "paths")]
    write_json(sweep_folder(root, ablation) / COMMAND, {"ablation": file, "words": kept})


def recall(root: Path, ablation: str, words: Sequence[str]) -> tuple[str, list[str]]:
    """(the ablation's name or file, overrides) of the last sweep of `ablation`, under new `words`.

    Raises ConfigError for a new word that would change what is run.
    """
    for word in words:
        if key_of(word).split(".")[0] not in CHANGEABLE:
            raise ConfigError(f"{word}: resume goes on with what was asked for", "for other trials run viewpair sweep")
    path = sweep_folder(root, ablation) / COMMAND
    saved = read_json(path)
    if not isinstance(saved, dict) or not {"ablation", "words"} <= saved.keys():
        raise DataError(f"{path} lacks a field", f"run `viewpair sweep ablation={ablation}` again to write it")
    new = [word for word in words if key_of(word) != "ablation"]
    other_launcher = any(key_of(word) == "launcher" for word in new)
    said_anew = {key_of(word) for word in new}
    old = [
        word
        for word in saved["words"]
        if key_of(word) not in said_anew and not (other_launcher and key_of(word).startswith("launcher"))
    ]
    return saved["ablation"], [*old, *new]
