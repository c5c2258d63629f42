"""Small real sweeps on the test cluster, and what an undisturbed run of the same trials leaves."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.io import read_json
from core.results import read_result
from sweeps.declared import read_plan
from sweeps.folders import trial_folder
from sweeps.ledger import Line, read_ledger
from sweeps.slurm.runs import submitted
from sweeps.slurm.task import STARTS
from sweeps.status import LOG, read_status
from sweeps.worker import ATTEMPT
from tests.shell import Command
from tests.slurm.conftest import DevCluster

# Some seconds of training, in steps short enough to be interrupted anywhere.
BASE = [
    "method=mvmae",
    "data.patients=24",
    "data.size=32",
    "model.width=32",
    "model.depth=2",
    "model.heads=2",
    "model.decoder_width=16",
    "train.batch_size=8",
    "runtime.threads=1",
    "runtime.tensorboard=false",
    "runtime.log_every=20",
    "runtime.checkpoint_every=50",
    "evaluation.run=[probe]",
    "evaluation.probe.draws=1",
]
ABLATION = """
title: Small
question: Does it survive?
base: {base}
axes:
  method.mask_ratio: [{ratios}]
seeds: [{seeds}]
draw: [curve]
"""


def write_ablation(folder: Path, name: str, ratios: str = "0.5, 0.75", seeds: str = "0", epochs: int = 120) -> Path:
    """An ablation file: a trial for each ratio and seed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(ABLATION.format(base=json.dumps([*BASE, f"train.epochs={epochs}"]), ratios=ratios, seeds=seeds))
    return path


@dataclass
class Sweep:
    """A sweep of one ablation file into its own folder."""

    cluster: DevCluster
    file: Path
    root: Path

    def words(self, *more: str) -> list[str]:
        """The words of the sweep verb."""
        launcher = ["launcher=slurm", "launcher.memory_gb=1.5", "launcher.time=10", "launcher.signal_delay=5"]
        return ["sweep", f"ablation={self.file}", f"paths.root={self.root}", *launcher, *more]

    def submit(self, *more: str) -> str:
        """Submit it; returns what was printed."""
        return Command(self.words(*more), env=self.cluster.env).finished()

    def call(self, verb: str, *more: str, code: int = 0) -> str:
        """Run another verb on it."""
        words = [verb, f"ablation={self.file.stem}", f"paths.root={self.root}", *more]
        return Command(words, env=self.cluster.env).finished(code)

    @property
    def keys(self) -> dict[str, str]:
        """Evaluation key of every trial."""
        return read_plan(self.root, self.file.stem).keys()

    @property
    def trials(self) -> list[str]:
        """Ids of its trials, in the plan's order."""
        return list(self.keys)

    def ledger(self) -> list[Line]:
        """Where its trials stand, by the disk alone."""
        return read_ledger(self.root, self.keys)

    def folder(self, trial: str) -> Path:
        """A trial's folder."""
        return trial_folder(self.root, trial)

    def step(self, trial: str) -> int:
        """The step that a trial is at, as it says itself; 0 while it does not train."""
        status = read_status(self.folder(trial))
        return status.step if status and status.state == "running" and status.stage == "train" else 0

    def attempts(self, trial: str) -> int:
        """How often the trial was begun or gone on with."""
        log = self.folder(trial) / LOG
        return log.read_text().count(ATTEMPT) if log.exists() else 0

    def starts(self, trial: str) -> int:
        """How many starts in a row found the trial at the same step, as the trial's tasks count them."""
        path = self.folder(trial) / STARTS
        return int(read_json(path)["starts"]) if path.exists() else 0

    def jobs(self) -> dict[str, str]:
        """State of each array element of its runs, by id."""
        names = self.cluster.output("squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%j").splitlines()
        runs = {run.name for run in submitted(self.root)}
        rows = [line.split("|") for line in names]
        return {job: state for job, state, name in rows if runs & set(name.split(".")) and "_" in job}

    def job_of(self, number: int) -> str:
        """Id of the array element that runs the trial of this number."""
        return next(job for job in self.jobs() if job.endswith(f"_{number}"))

    def until_training(self, number: int, step: int = 1, seconds: float = 90) -> str:
        """Wait until a trial has reached a step; returns its job's id."""
        self.cluster.wait_until(lambda: self.step(self.trials[number]) >= step, seconds)
        return self.job_of(number)

    def until(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        """Wait for something."""
        self.cluster.wait_until(condition, seconds)

    def until_done(self, seconds: float = 150) -> None:
        """Wait until every trial is done."""
        self.cluster.wait_until(lambda: all(line.state == "done" for line in self.ledger()), seconds)

    def pids(self, trial: str) -> list[int]:
        """Processes that hold the trial's lease now."""
        owners = sorted((self.folder(trial) / "lease").glob("*/owner.json"))
        return [int(read_json(owner)["pid"]) for owner in owners]


def fingerprint(root: Path, keys: dict[str, str]) -> dict[str, dict[str, str]]:
    """What the tables are made from, by trial: hashes of the weights and predictions, and every metric."""
    found = {}
    for trial, key in keys.items():
        result = read_result(trial_folder(root, trial) / "evaluations" / key)
        weights = hashlib.sha256((trial_folder(root, trial) / "model.safetensors").read_bytes()).hexdigest()
        predictions = result.files["predictions.parquet"]["sha256"]
        found[trial] = {"weights": weights, "predictions": predictions, "metrics": result.frame().to_csv(index=False)}
    return found


def share_data(source: Path, root: Path) -> None:
    """Give a sweep the data set that was built before."""
    root.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source / "data", root / "data", copy_function=os.link)
