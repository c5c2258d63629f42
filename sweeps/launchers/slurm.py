"""SLURM: job arrays by submitit, data before them and the report after them, chained by dependencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from core.config import DataConfig, TrialConfig, setting
from core.data.build import data_key
from core.data.store import INDEX
from core.errors import check_range, require
from sweeps.doctor import Findings
from sweeps.launchers.base import LAUNCHERS, LOGS, LauncherConfig, Order, Overview
from sweeps.shape import shape_of
from sweeps.slurm import scheduler
from sweeps.slurm.building import SlurmBuilding, build_on_slurm
from sweeps.slurm.doctor import examine
from sweeps.slurm.groups import fitted, groups, refusal
from sweeps.slurm.overview import Watch
from sweeps.slurm.runs import Packing, jobs_of, places, write_run
from sweeps.slurm.submit import Jobs, test
from sweeps.slurm.time_limit import minutes

USUAL_ARRAY_SIZE = 1001


@dataclass
class SlurmConfig(LauncherConfig):
    """Settings of the SLURM launcher. A file in slurm/profiles holds those of one cluster: launcher=<its name>."""

    name: str = setting("slurm", "launcher")
    partition: str = setting("", "partition; empty = the cluster's default")
    account: str = setting("", "account that pays; empty = your default")
    qos: str = setting("", "quality of service; empty = the default")
    gres: str = setting("", "generic resources of a task on each node, such as gpu:1")
    cpus: int = setting(1, "CPUs of each process")
    memory_gb: float = setting(4.0, "memory of a task on each node, GB; 0 = the cluster's default")
    time: str = setting("04:00:00", "time limit of a task; trials that need longer are requeued and go on")
    constraint: str = setting("", "node features, as in sbatch --constraint")
    exclude: str = setting("", "nodes not to be used, as in sbatch --exclude")
    options: list[str] = setting([], "more options of sbatch, such as [reservation=mine,licenses=a]")
    setup: list[str] = setting([], "shell lines run before a task, such as [module load cuda/12.6]")
    container: str = setting("", "what to put before python, such as: apptainer exec --nv image.sif")
    python: str = setting("", "the interpreter on the nodes; empty = the one that submits")
    environment: list[str] = setting([], "variables of the tasks, such as [NCCL_SOCKET_IFNAME=ib0]")
    signal_delay: int = setting(120, "seconds before the time limit at which a task is warned, to checkpoint")
    max_parallel: int = setting(16, "array tasks that run at once")
    trials_per_task: int = setting(1, "trials that one array task runs")
    concurrent: int = setting(1, "trials that a task runs side by side (the rest in turn)")
    ranks: int = setting(1, "processes that train a trial together (DDP, ZeRO); the trial's runtime.processes wins")
    nodes: int = setting(1, "nodes over which these are spread; the trial's runtime.nodes wins")
    max_starts: int = setting(5, "starts without progress after which a trial is given up")
    helper_partition: str = setting("", "partition of the data and report jobs, without gres; empty = partition")

    def __post_init__(self) -> None:
        check_range("launcher.cpus", self.cpus, 1, 1024)
        check_range("launcher.memory_gb", self.memory_gb, 0, 100_000)
        check_range("launcher.signal_delay", self.signal_delay, 0, 65_535)
        check_range("launcher.max_parallel", self.max_parallel, 1, 100_000)
        check_range("launcher.trials_per_task", self.trials_per_task, 1, 100_000)
        check_range("launcher.concurrent", self.concurrent, 1, 1024)
        check_range("launcher.ranks", self.ranks, 1, 65_536)
        check_range("launcher.nodes", self.nodes, 1, 65_536)
        check_range("launcher.max_starts", self.max_starts, 1, 1000)
        require(
            60 * minutes(self.time) > self.signal_delay,
            f"launcher.signal_delay={self.signal_delay} s is no shorter than launcher.time={self.time}",
            "a task would be warned of its end before it began",
        )
        require(
            self.ranks % self.nodes == 0,
            f"launcher.ranks={self.ranks} is no multiple of launcher.nodes={self.nodes}",
            "each node runs the same number of processes",
        )
        require(
            self.concurrent == 1 or self.nodes == 1,
            f"launcher.concurrent={self.concurrent} with launcher.nodes={self.nodes}",
            "trials side by side share one node: set one of the two to 1",
        )
        require(
            self.concurrent <= self.trials_per_task,
            f"launcher.concurrent={self.concurrent} is more than launcher.trials_per_task={self.trials_per_task}",
            "a task cannot run more trials side by side than it has",
        )
        for key, pairs in (("options", self.options), ("environment", self.environment)):
            for pair in pairs:
                require("=" in pair, f"launcher.{key}: {pair!r} has no =", "write name=value")


@LAUNCHERS.register("slurm", config=SlurmConfig)
class Slurm:
    """A SLURM cluster: job arrays by submitit; returns once they are submitted."""

    detached = True

    def __init__(self, config: SlurmConfig) -> None:
        self.config = config
        self._refused: dict[tuple[int, int, int], str] = {}

    def check(self) -> None:
        """Raise UserError where SLURM is absent, does not answer, or would refuse these settings."""
        test(self.config)

    def examine(self, root: Path, seconds: float) -> Findings:
        """SLURM's programs, controller and settings, then a node by a small job."""
        yield from examine(self.config, root, seconds)

    def refuse(self, config: TrialConfig) -> str:
        """A trial whose task would be of another shape than `check` has tried, if SLURM does not take that one."""
        like = fitted(self.config, shape_of(config, self.config.ranks, self.config.nodes))
        if like == self.config:
            return ""
        key = like.ranks, like.nodes, like.concurrent
        if key not in self._refused:
            self._refused[key] = refusal(like)
        return self._refused[key]

    def build(self, data: DataConfig, root: Path, workers: int) -> SlurmBuilding | None:
        """Submit an array of tasks, one for each range of shards that are missing, and the job that merges them."""
        require(workers in (0, self.config.cpus), f"--workers {workers} with SLURM", "launcher.cpus says how many")
        return build_on_slurm(self.config, data, root)

    def plan(self, trials: Mapping[str, TrialConfig]) -> str:
        """How the trials are packed into array tasks."""
        packed = "; ".join(group.pack(USUAL_ARRAY_SIZE).describe() for group in groups(self.config, trials))
        return f"SLURM: {packed}, {self.config.max_parallel} at once"

    def under_way(self, root: Path) -> set[str]:
        """Trials that jobs which wait or run will still see to."""
        return {trial for trial, place in places(root).items() if place.job.alive and not place.given_up}

    def submit(self, order: Order) -> SlurmRun:
        """Submit the data job (where data is missing), the arrays and the report job. Raises UserError."""
        array_size = scheduler.max_array_size()
        built: set[str] = set()
        data: list[str] = []
        packed: list[tuple[Jobs, Packing]] = []
        for number, group in enumerate(groups(self.config, order.trials)):
            # a run's folder holds what its tasks have in common
            folder = order.folder.with_name(f"{order.folder.name}-{number}") if number else order.folder
            packing, jobs = group.pack(array_size), Jobs(group.config, folder)
            write_run(folder, group.trials, packing, order.ablations, asdict(group.config))
            packed.append((jobs, packing))
            keys = {data_key(config.data) for config in group.trials.values()} - built
            data += [jobs.data()] if any(not (order.root / "data" / key / INDEX).exists() for key in keys) else []
            built |= keys
        arrays = [jobs.array(tasks, after=data) for jobs, packing in packed for tasks in packing.arrays()]
        report = [packed[0][0].report(order.ablations, order.root, after=arrays)]
        return SlurmRun(order, packed, data, arrays, report)

    def rejoin(self, order: Order) -> SlurmRun | None:
        """The jobs of earlier submissions."""
        return SlurmRun(order, [], [], [], []) if order.under_way else None


class SlurmRun:
    """Jobs that were submitted (their numbers, by kind), and those of earlier runs that see to `order.under_way`."""

    def __init__(
        self,
        order: Order,
        packed: list[tuple[Jobs, Packing]],
        data: list[str],
        arrays: list[str],
        report: list[str],
    ) -> None:
        self._order, self._packed = order, packed
        self._data, self._arrays, self._report = data, arrays, report
        self._watch = Watch(order.root)

    def describe(self) -> str:
        """What was submitted under which numbers."""
        packing = "\n".join(packing.describe() for _, packing in self._packed)
        first = f"data: job {', '.join(self._data)}; " if self._data else ""
        logs = ", ".join(str(jobs.folder / LOGS) for jobs, _ in self._packed)
        return (
            f"{packing}\n{first}trials: array {', '.join(self._arrays)}; report: job {self._report[0]}; logs in {logs}"
        )

    def active(self) -> bool:
        """Whether any of the jobs waits or runs. SLURM not answering does not mean that nothing runs."""
        seen = self._watch()
        if seen.silent or any(jobs.folder.name in seen.runs for jobs, _ in self._packed):
            return True
        earlier = [seen.places[trial] for trial in self._order.under_way if trial in seen.places]
        return any(place.waits or place.works for place in earlier)

    def overview(self) -> Overview:
        """Where SLURM has the trials, as of a few seconds ago."""
        return self._watch()

    def cancel(self) -> None:
        """Cancel all jobs of this run."""
        scheduler.cancel([job.id for jobs, _ in self._packed for job in jobs_of(jobs.folder)])
