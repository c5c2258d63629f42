"""A data set built by a job array: a task for each range of missing shards, then a job that merges them.

runs/build-<data set>-<when>/build.json: the data set's settings and which shards each task writes. What is finished is
seen in the data set's own folder, so a task that failed or was killed is made up for by submitting again: what is
missing then is cut into ranges anew.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.compose import trial_from_dict
from core.config import DataConfig
from core.data.build import data_folder
from core.data.layout import Layout, cut, publish, read_layout
from core.io import json_ready, read_json, write_json
from core.progress import state
from sweeps.folders import runs_folder
from sweeps.launchers.base import LOGS
from sweeps.slurm import scheduler
from sweeps.slurm.runs import BUILD, LIVES, builds, jobs_of
from sweeps.slurm.scheduler import Job
from sweeps.slurm.submit import Jobs, test

if TYPE_CHECKING:
    from sweeps.launchers.slurm import SlurmConfig

# so that a task that takes longer than others, or is lost, costs little
RANGES_BESIDE = 4


@dataclass(frozen=True)
class Order:
    """What the tasks of one submission are to do, as `build.json` has it.

    data: its settings, plain. target: its folder. ranges: names of shards, by task. since: when it was submitted,
    Unix time, s.
    """

    data: Mapping[str, Any]
    target: Path
    ranges: tuple[tuple[str, ...], ...]
    launcher: Mapping[str, Any]
    since: float

    def layout(self) -> Layout:
        """The data set's shards."""
        return read_layout(trial_from_dict({"data": dict(self.data)}).data, self.target)

    def shards(self) -> list[str]:
        """Names of the shards that were submitted."""
        return [name for names in self.ranges for name in names]

    def written(self) -> list[str]:
        """Names of those whose record was written since."""
        return [name for name in self.shards() if self._is_written(self.target / f"{name}.json")]

    def _is_written(self, record: Path) -> bool:
        return record.exists() and record.stat().st_mtime >= self.since


def write_order(folder: Path, layout: Layout, ranges: Sequence[Sequence[str]], launcher: Mapping[str, Any]) -> None:
    """Write the folder of a submission, build.json last."""
    for name in (LIVES, LOGS):
        (folder / name).mkdir(parents=True, exist_ok=True)
    plain = {"data": asdict(layout.config), "target": layout.folder.absolute(), "ranges": ranges, "launcher": launcher}
    write_json(folder / BUILD, json_ready(plain))


def read_order(folder: Path) -> Order:
    """Read it back. Raises DataError."""
    saved = read_json(folder / BUILD)
    since = (folder / BUILD).stat().st_mtime
    return Order(saved["data"], Path(saved["target"]), tuple(map(tuple, saved["ranges"])), saved["launcher"], since)


def build_on_slurm(config: SlurmConfig, data: DataConfig, root: Path) -> SlurmBuilding | None:
    """Submit what is missing of a data set, or rejoin the jobs that see to it; None where nothing is missing.

    The data set's tables are read here, so that what is wrong with them is told at once. Raises UserError.
    """
    test(config)
    target = data_folder(data, root)
    for earlier in builds(root):
        if earlier.name.startswith(f"build-{target.name}-") and (under_way := jobs_of(earlier)):
            return SlurmBuilding(earlier, read_order(earlier).layout(), array_ids(under_way))
    layout = publish(data, target)
    missing = layout.unfinished()
    if not missing and layout.indexed():
        return None
    ranges = cut(missing, min(RANGES_BESIDE * config.max_parallel, scheduler.max_array_size()))
    folder = runs_folder(root) / f"build-{target.name}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    write_order(folder, layout, ranges, asdict(config))
    jobs = Jobs(config, folder)
    array = [jobs.ranges(len(ranges))] if ranges else []
    return SlurmBuilding(folder, layout, [*array, jobs.merge(after=array)])


def array_ids(jobs: Sequence[Job]) -> list[str]:
    """The numbers of jobs, an array's once, in their order."""
    return list(dict.fromkeys(job.id.split("_")[0] for job in jobs))


class SlurmBuilding:
    """A submission that waits or runs. jobs: their numbers, the merging one last."""

    def __init__(self, folder: Path, layout: Layout, jobs: Sequence[str]) -> None:
        self.folder, self.layout, self.logs, self._jobs = folder, layout, folder / LOGS, jobs
        self._order = read_order(folder)

    def describe(self) -> str:
        """How many tasks under which numbers, how far they are, and how to stop them."""
        total, done = self.layout.n_studies, self.done()
        lately = done - (total - self._ordered())
        return (
            f"{len(self._order.ranges)} ranges of shards, at most {self._order.launcher['max_parallel']} at once:"
            f" {state(done, total, 'studies', lately, time.time() - self._order.since)}\n"
            f"jobs {', '.join(self._jobs)} (to stop: scancel {' '.join(self._jobs)}); logs in {self.logs}"
        )

    def active(self) -> bool:
        """Whether a job of it waits or runs."""
        return bool(jobs_of(self.folder))

    def done(self) -> int:
        """Studies in shards that were there before, or whose record was written since."""
        return self.layout.n_studies - self._ordered() + self._studies(self._order.written())

    def _ordered(self) -> int:
        """Studies in the shards that were submitted."""
        return self._studies(self._order.shards())

    def _studies(self, shards: Sequence[str]) -> int:
        return sum(len(plan.studies) for plan in self.layout.named(shards))
