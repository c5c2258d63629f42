"""How fast a trial trains: some optimiser steps, from the loader to the update, timed on the trial's processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from core.config import MeasureConfig, TrialConfig, setting
from core.data.store import StudyStore
from core.errors import check_choice, check_range, require
from core.measures.base import MEASURES, Watch


@dataclass
class ThroughputConfig(MeasureConfig):
    """How many steps are timed, and what a batch is."""

    name: str = setting("throughput", "measure")
    warm_up: int = setting(5, "optimiser steps before the clock starts; the first compiles, and is told apart")
    steps: int = setting(30, "timed optimiser steps; their median counts")
    profiled: int = setting(3, "further steps under torch's profiler, for the seconds spent in communication")
    scaling: str = setting(
        "strong", "a batch of train.batch_size studies is: strong (shared by all processes) | weak (each process's own)"
    )

    def __post_init__(self) -> None:
        check_range("measure.warm_up", self.warm_up, 1, 100_000)
        check_range("measure.steps", self.steps, 1, 1_000_000)
        check_range("measure.profiled", self.profiled, 1, 10_000)
        check_choice("measure.scaling", self.scaling, ("strong", "weak"))

    def batch_size(self, trial: TrialConfig) -> int:
        """Studies in one optimiser step, over all processes."""
        return trial.train.batch_size * (trial.runtime.processes if self.scaling == "weak" else 1)

    def check_trial(self, trial: TrialConfig) -> None:
        """Processes and nodes are part of what is measured, so that no launcher may choose them."""
        require(
            trial.runtime.processes > 0 and trial.runtime.nodes > 0,
            f"measure=throughput with runtime.processes={trial.runtime.processes}, runtime.nodes={trial.runtime.nodes}",
            "say how many there are to be: runtime.processes=1 runtime.nodes=1",
        )
        share = trial.runtime.processes * trial.train.micro_batches
        require(
            self.batch_size(trial) % share == 0,
            f"a batch of {self.batch_size(trial)} studies cannot be divided equally among "
            f"runtime.processes={trial.runtime.processes} x train.micro_batches={trial.train.micro_batches}",
            f"choose a train.batch_size that is a multiple of {share}",
        )


@MEASURES.register("throughput", config=ThroughputConfig)
class Throughput:
    """Time optimiser steps: images per second, MFU, memory, waiting for data and for other processes."""

    identity = (
        "measure",
        "engine",
        "loader.workers",
        "loader.prefetch",
        "runtime.device",
        "runtime.threads",
        "runtime.attention",
        "runtime.compile",
        "runtime.processes",
        "runtime.nodes",
    )
    alone = True

    def __init__(self, config: ThroughputConfig) -> None:
        self.config = config

    def lead(self, config: TrialConfig, store: StudyStore, folder: Path, watch: Watch) -> None:
        """Take the steps with the others, and write what all of them saw."""
        from core.bench.throughput import measure, metrics
        from core.evaluation.base import Evaluated
        from core.results import write_result
        from core.telemetry import write_cost
        from core.trainer import write_config

        write_config(config, store, folder)
        watch.stage("train")
        with watch.training():
            measured = measure(self.as_run(config, store), store, folder, self.config, watch.step, watch.warned)
        write_cost(folder, measured.cost)
        write_result(folder, config, store, Evaluated(metrics(config, measured)))

    def follow(self, config: TrialConfig, store: StudyStore, folder: Path, stop: Callable[[], bool]) -> None:
        """Take the steps with the first."""
        from core.bench.throughput import measure

        measure(self.as_run(config, store), store, folder, self.config, None, stop)

    def images(self, config: TrialConfig, images: float, studies: float) -> float:
        """Those of the steps that are taken."""
        return self.total_steps() * self.config.batch_size(config) * images / studies

    def total_steps(self) -> int:
        """Optimiser steps from the first to the last."""
        return self.config.warm_up + self.config.steps + self.config.profiled

    def as_run(self, config: TrialConfig, store: StudyStore) -> TrialConfig:
        """The trial as the trainer runs it: the whole batch, and epochs enough for all steps.

        Raises ConfigError where the data set has too few studies for one batch, which the trainer would shrink.
        """
        batch, studies = self.config.batch_size(config), store.splits["train"].n_studies
        require(
            batch <= studies,
            f"a batch of {batch} studies (measure.scaling={self.config.scaling}) is larger than the training split's "
            f"{studies}",
            "use a smaller train.batch_size, or a larger data set",
        )
        epochs = -(-self.total_steps() // (studies // batch))
        return replace(config, train=replace(config.train, batch_size=batch, epochs=epochs))
