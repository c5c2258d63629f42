"""The trials of one run, handed out by rename: workers that start, die or join late each get what nobody took."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.compose import trial_from_dict, trial_to_dict
from core.config import TrialConfig
from core.io import read_json, write_json


@dataclass(frozen=True)
class Taken:
    """A trial that a worker took."""

    trial: str
    config: TrialConfig


class Queue:
    """A folder with `todo/` and `taken/`, one JSON file a trial. Each trial is handed out once."""

    def __init__(self, folder: Path) -> None:
        self._todo, self._taken = folder / "todo", folder / "taken"

    @classmethod
    def fill(cls, folder: Path, trials: Mapping[str, TrialConfig]) -> Queue:
        """A new queue of `trials` (id -> config), in this order."""
        queue = cls(folder)
        queue._taken.mkdir(parents=True)
        for position, (trial, config) in enumerate(trials.items()):
            write_json(queue._todo / f"{position:06d}-{trial}.json", trial_to_dict(config))
        return queue

    def __len__(self) -> int:
        """How many trials nobody took yet."""
        return len(self._waiting())

    def take(self, worker: str) -> Taken | None:
        """The next trial, now `worker`'s; None when none is left."""
        for name in self._waiting():
            mine = self._taken / f"{name.removesuffix('.json')}-{worker}.json"
            try:
                (self._todo / name).rename(mine)
            except FileNotFoundError:
                # another worker was faster
                continue
            return Taken(name[7:-5], trial_from_dict(read_json(mine)))
        return None

    def taken_by(self, worker: str) -> list[str]:
        """Ids of the trials that a worker took, in this order."""
        names = sorted(os.listdir(self._taken))
        return [n[7:].split("-")[0] for n in names if n.endswith(f"-{worker}.json")]

    def _waiting(self) -> list[str]:
        return sorted(n for n in os.listdir(self._todo) if n.endswith(".json")) if self._todo.is_dir() else []
