"""What was declared: the plans on disk, for whoever looks at a sweep without resolving it again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import ConfigError, DataError, did_you_mean
from core.io import read_json
from sweeps.folders import sweep_folder
from sweeps.plan import PLAN, SCHEMA


@dataclass(frozen=True)
class DeclaredTrial:
    """One trial of a plan on disk. row: the name of its cell or baseline. what: its seed and own values."""

    id: str
    row: str
    what: str


@dataclass(frozen=True)
class Declared:
    """A plan as read back from plan.json."""

    ablation: str
    title: str
    preset: str
    evaluation_key: str
    trials: tuple[DeclaredTrial, ...]

    def keys(self) -> dict[str, str]:
        """Evaluation key of every trial by id, for the ledger."""
        return {trial.id: self.evaluation_key for trial in self.trials}


def swept(root: Path) -> list[str]:
    """Ablations with a plan on disk, sorted."""
    return sorted(path.parent.name for path in (root / "sweeps").glob(f"*/{PLAN}"))


def chosen(root: Path, names: Any) -> list[str]:
    """The swept ablations that `ablation=...` names; all of them when it names none or "all".

    Raises ConfigError for one that was never swept.
    """
    known = swept(root)
    if not names or names == "all":
        return known
    wanted: Iterable[Any] = [names] if isinstance(names, str) else names
    stems = [Path(str(name)).stem for name in wanted]
    for name in stems:
        if name not in known:
            raise ConfigError(f"ablation={name} was not swept in {root}", did_you_mean(name, known) if known else "")
    return stems


def read_declared(root: Path, ablation: str) -> Declared:
    """Read a plan back. Raises DataError that names the file when it cannot be used."""
    path = sweep_folder(root, ablation) / PLAN
    saved = read_json(path)
    try:
        if saved["schema"] != SCHEMA:
            raise DataError(f"{path} has schema {saved['schema']}, not {SCHEMA}", "run the sweep again to replace it")
        trials = tuple(_trial(cell, trial) for cell in saved["cells"] for trial in cell["trials"])
        return Declared(saved["ablation"], saved["title"], saved["preset"], saved["evaluation_key"], trials)
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} lacks a field ({error})", "run the sweep again to replace it") from error


def _trial(cell: dict[str, Any], trial: dict[str, Any]) -> DeclaredTrial:
    values = [f"{key.rpartition('.')[2]}={value}" for key, value in trial["values"].items()]
    return DeclaredTrial(trial["id"], cell["name"], " ".join([f"seed={trial['seed']}", *values]))
