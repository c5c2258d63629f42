"""Trials that are measured for their speed: their ids, who may run them, their processes, a sweep from end to end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from fractions import Fraction
from pathlib import Path

import psutil
import pytest

from core.compose import compose, to_trial
from core.config import TrialConfig
from core.errors import ConfigError, Interrupted, UserError
from core.identity import evaluation_key, trial_id
from core.measures.base import Watch
from core.results import read_result
from sweeps.declared import read_plan
from sweeps.folders import trial_folder
from sweeps.launchers.local import Local, LocalConfig
from sweeps.launchers.slurm import SlurmConfig
from sweeps.ledger import read_ledger
from sweeps.plan import make_plan
from sweeps.run import preview, run_plans
from sweeps.shape import Shape, shape_of
from sweeps.slurm.groups import groups, scaled
from sweeps.team import run_together
from sweeps.trial import compute, is_done
from tests.shell import Command
from tests.sweeps import fakes

CHECKOUT = Path(__file__).resolve().parents[2]
THROUGHPUT = ("measure=throughput", "runtime.processes=1", "runtime.nodes=1")
MACHINE = (
    "engine=deepspeed",
    "runtime.compile=true",
    "runtime.threads=3",
    "runtime.attention=sdpa",
    "loader.workers=3",
)

SCALING = """
title: Small scaling
question: How fast?
base:
  - measure=throughput
  - measure.warm_up=1
  - measure.steps=3
  - measure.profiled=1
  - runtime.nodes=1
  - runtime.threads=1
  - data.size=32
  - model.width=32
  - model.depth=1
  - model.heads=2
  - model.decoder_width=16
  - train.batch_size=8
axes:
  measure.scaling: [weak]
  processes:
    1: [runtime.processes=1]
    2: [runtime.processes=2]
    2 on 2 nodes: [runtime.processes=2, runtime.nodes=2]
seeds: [0]
draw: [scaling, throughput]
"""


def config(*overrides: str) -> TrialConfig:
    return to_trial(compose(list(overrides)))


@pytest.fixture
def scaling(tmp_path: Path) -> Path:
    path = tmp_path / "scaling.yaml"
    path.write_text(SCALING)
    return path


@pytest.mark.parametrize("override", MACHINE)
def test_the_machine_is_part_of_an_id_where_speed_is_measured_and_only_there(override: str) -> None:
    assert trial_id(config(override)) == trial_id(config())
    assert trial_id(config(*THROUGHPUT, override)) != trial_id(config(*THROUGHPUT))


def test_processes_are_part_of_an_id_where_speed_is_measured_and_only_there() -> None:
    assert trial_id(config("runtime.processes=4", "runtime.nodes=2")) == trial_id(config())
    ids = {trial_id(config(*THROUGHPUT, f"runtime.processes={n}")) for n in (1, 2, 4)}
    ids |= {trial_id(config(*THROUGHPUT, "runtime.processes=4", "runtime.nodes=2"))}
    assert len(ids) == 4
    assert trial_id(config(*THROUGHPUT)) != trial_id(config())


def test_where_results_lie_and_how_they_are_logged_are_never_part_of_an_id() -> None:
    for override in ("paths.root=/elsewhere", "runtime.log_every=3", "evaluation.pool=mean", "runtime.cost_per_hour=2"):
        assert trial_id(config(*THROUGHPUT, override)) == trial_id(config(*THROUGHPUT))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["measure=throughput"], "say how many there are to be: runtime.processes=1"),
        ([*THROUGHPUT, "runtime.processes=3"], "a batch of 32 studies cannot be divided equally among"),
        (["runtime.processes=3", "runtime.nodes=2"], "runtime.nodes=2 does not divide runtime.processes=3"),
        ([*THROUGHPUT, "measure.scaling=wek"], "measure.scaling"),
    ],
)
def test_what_cannot_be_measured_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(*overrides)


def test_an_axis_may_name_several_overrides_at_once(scaling: Path) -> None:
    plan = make_plan(str(scaling), [], "demo")
    found = {
        cell.name: (t.config.runtime.processes, t.config.runtime.nodes) for cell in plan.cells for t in cell.trials
    }
    prefix = "mvmae scaling=weak processes="
    assert found == {f"{prefix}1": (1, 1), f"{prefix}2": (2, 1), f"{prefix}2 on 2 nodes": (2, 2)}
    assert plan.measure == plan.plain()["measure"] == "throughput"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("draw: [scaling", "draw: [curve", "draw=curve does not show measure=throughput"),
        ("    1: [runtime.processes=1]", "    1: [runtime.processes]", "axes.processes.1: 'runtime.processes' is not"),
    ],
)
def test_slips_in_the_file_are_named(scaling: Path, before: str, after: str, message: str) -> None:
    scaling.write_text(SCALING.replace(before, after))
    with pytest.raises(ConfigError, match=message):
        make_plan(str(scaling), [], "demo")


def test_one_table_holds_one_measure(tmp_path: Path) -> None:
    kinds = f"{{quality: [measure=quality], speed: [{', '.join(THROUGHPUT)}]}}"
    (tmp_path / "both.yaml").write_text(f"title: T\nquestion: Q\nbase: []\nseeds: [0]\naxes: {{kind: {kinds}}}\n")
    with pytest.raises(ConfigError, match="its cells have measures quality and throughput"):
        make_plan(str(tmp_path / "both.yaml"), [], "demo")


def test_overrides_that_change_a_speed_stand_in_the_plan(scaling: Path, ablations: Path) -> None:
    words = ["runtime.threads=2", "runtime.log_every=3", "train.batch_size=4"]
    assert make_plan(str(scaling), words, "demo").plain()["overrides"] == ["runtime.threads=2", "train.batch_size=4"]
    assert make_plan("small", words, "demo", ablations).plain()["overrides"] == ["train.batch_size=4"]


def test_the_local_launcher_says_what_it_cannot_run() -> None:
    local = Local(LocalConfig(gpus=[0, 1]))
    assert local.refuse(config("runtime.processes=2")) == ""
    assert "launcher=local has this machine only" in local.refuse(config("runtime.processes=2", "runtime.nodes=2"))
    assert local.refuse(config("runtime.processes=4")) == "runtime.processes=4, and here are 2 GPUs"
    assert local.refuse(config("runtime.processes=4", "runtime.device=cpu")) == ""


def test_trials_that_need_the_machine_for_themselves_come_last_and_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.launchers.local.cores", lambda: 4)
    trials = {"a": config(*THROUGHPUT), "b": config(), "c": config("seed=1"), "d": config("runtime.processes=2")}
    small, large = Local(LocalConfig(gpus=[3, 5]))._waves(trials)
    assert (list(small.trials), small.beside, small.threads, small.gpus) == (["b", "c"], 2, 2, ("3", "5"))
    assert (list(large.trials), large.beside, large.threads, large.gpus) == (["a", "d"], 1, 4, ("3,5",))


def test_shapes_are_the_trials_own_or_the_launchers() -> None:
    assert shape_of(config()) == Shape(1, 1, alone=False)
    assert shape_of(config(), 4, 2) == Shape(4, 2, alone=False)
    assert shape_of(config("runtime.processes=2"), 4, 2) == Shape(2, 1, alone=False)
    assert shape_of(config(*THROUGHPUT), 4, 2) == Shape(1, 1, alone=True)


def test_slurm_gives_each_shape_its_own_arrays() -> None:
    launcher = SlurmConfig(gres="gpu:a100:1,nvme", memory_gb=8, trials_per_task=2, concurrent=2)
    eight = ("runtime.processes=8", "runtime.nodes=2", "train.batch_size=32")
    trials = {
        "q0": config(),
        "t8": config(*THROUGHPUT, *eight),
        "q1": config("seed=1"),
        "t1": config(*THROUGHPUT),
        "q2": config("runtime.processes=8", "runtime.nodes=2"),
        "t1'": config(*THROUGHPUT, "seed=1"),
    }
    found = [(list(g.trials), g.config, g.pack(1000).tasks) for g in groups(launcher, trials)]
    assert [(names, tasks) for names, _, tasks in found] == [
        (["q0", "q1"], (("q0", "q1"),)),
        (["t8"], (("t8",),)),
        (["t1", "t1'"], (("t1",), ("t1'",))),
        (["q2"], (("q2",),)),
    ]
    assert found[0][1] == launcher
    # two trials side by side share what the profile gives a task: one process has half of it, four have twice
    sizes = [(c.ranks, c.nodes, c.concurrent, c.gres, c.memory_gb) for _, c, _ in found]
    assert sizes[1:] == [
        (8, 2, 1, "gpu:a100:2,nvme:2", 16.0),
        (1, 1, 1, "gpu:a100:1,nvme:1", 4.0),
        (8, 2, 1, "gpu:a100:2,nvme:2", 16.0),
    ]


def test_resources_grow_with_the_processes() -> None:
    assert [scaled("gpu:2", Fraction(n, 2)) for n in (1, 3, 8)] == ["gpu:1", "gpu:3", "gpu:8"]
    assert [scaled("gpu", Fraction(4)), scaled("", Fraction(4))] == ["gpu:4", ""]


def test_what_a_launcher_cannot_run_is_a_hole_with_its_reason(scaling: Path, tmp_path: Path) -> None:
    lines = [line for line in SCALING.splitlines() if not line.strip().startswith(("1:", "2:"))]
    scaling.write_text("\n".join(lines))
    plan = make_plan(str(scaling), [], "demo")
    reason = "runtime.nodes=2, and launcher=local has this machine only (use launcher=slurm)"
    assert f"1 trials skipped: {reason}" in preview([plan], tmp_path / "out", LocalConfig())
    outcome = run_plans([plan], tmp_path / "out", LocalConfig(), fakes.compute)
    assert not outcome.complete
    assert [(line.state, line.detail) for line in outcome.lines] == [("skipped", reason)]
    assert fakes.ran(tmp_path / "out") == []


def first(config: TrialConfig, root: Path, watch: Watch) -> None:
    """A stand-in for what the first process does: by its seed it ends, goes on until it is warned, or fails."""
    watch.stage("train")
    if config.seed == 2:
        raise ConfigError("it\nfails", "a hint")
    with watch.training():
        for step in range(1 + 10_000 * config.seed):
            watch.step(step, 1)
            time.sleep(0.01)
            if watch.warned():
                (root / "checkpoint").touch()
                raise Interrupted("heard it")


class Heard:
    """A watch that keeps what it was told, and warns when it was told of some step."""

    def __init__(self, warn_at: int = -1) -> None:
        self.stages, self.steps, self._warn_at = list[str](), list[int](), warn_at

    def warned(self) -> bool:
        return 0 <= self._warn_at < len(self.steps)

    def stage(self, name: str) -> None:
        self.stages.append(name)

    def training(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def step(self, step: int, total_steps: int) -> None:
        self.steps.append(step)


@pytest.fixture(autouse=True)
def _processes_find_this_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))


def test_the_first_process_is_heard_warned_and_its_failure_told(tmp_path: Path) -> None:
    heard = Heard()
    run_together(config(), tmp_path, heard, first, 1)
    assert (heard.stages, heard.steps) == (["train"], [0])
    with pytest.raises(Interrupted):
        run_together(config("seed=1"), tmp_path, Heard(warn_at=3), first, 1)
    assert (tmp_path / "checkpoint").exists()
    with pytest.raises(UserError, match="it fails"):
        run_together(config("seed=2"), tmp_path, Heard(), first, 1)


SMALL = (
    "data.patients=24",
    "data.size=32",
    "model.width=32",
    "model.depth=1",
    "model.heads=2",
    "model.decoder_width=16",
    "train.batch_size=8",
    "runtime.threads=1",
    "runtime.checkpoint_every=5",
    "runtime.tensorboard=false",
    "evaluation.run=[rank]",
)


@pytest.mark.slow
def test_a_killed_process_ends_the_others_and_the_trial_goes_on_later(tmp_path: Path) -> None:
    trial = config(*SMALL, "runtime.processes=2", "train.epochs=200")
    folder = trial_folder(tmp_path, trial_id(trial))

    class Killer(Heard):
        """Kills the second process at some step, once there is a checkpoint."""

        killed: list[int] = []

        def step(self, step: int, total_steps: int) -> None:
            super().step(step, total_steps)
            if not self.killed and step > 20:
                self.killed += sorted(child.pid for child in ranks())[1:]
                os.kill(self.killed[0], signal.SIGKILL)

    with pytest.raises(UserError, match=r"process 1 of 2 was killed"):
        run_together(trial, tmp_path, Killer(), compute, 2)
    assert ranks() == []
    assert not is_done(folder, evaluation_key(trial))
    heard = Heard()
    run_together(trial, tmp_path, heard, compute, 2)
    assert heard.steps[0] > 1
    assert heard.stages == ["data", "train", "evaluate"]
    assert is_done(folder, evaluation_key(trial))


def ranks() -> list[psutil.Process]:
    """The living processes that `run_together` started."""
    children = psutil.Process().children()
    return [c for c in children if c.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(c.cmdline())]


@pytest.mark.slow
def test_a_small_sweep_from_end_to_end(scaling: Path, tmp_path: Path) -> None:
    root = tmp_path / "out"
    words = [f"ablation={scaling}", f"paths.root={root}", "data.patients=40"]
    assert "1 trials skipped: runtime.nodes=2" in Command(["sweep", *words]).finished(code=1)
    plan = read_plan(root, "scaling")
    assert [line.state for line in read_ledger(root, plan.keys())] == ["done", "done", "skipped"]
    for cell, processes in zip(plan.cells, (1, 2), strict=False):
        result = read_result(trial_folder(root, cell.trials[0].id) / "evaluations" / plan.evaluation_key)
        found = {metric.metric: metric.value for metric in result.metrics}
        assert found["processes"] == processes
        assert (found["communication_seconds"] > 0) is (processes > 1)
        # a mean of two images a study at most, of 8 studies a process
        assert 0 < found["images_per_second"] * found["step_seconds"] <= 1.5 * 16 * processes
        assert min(found[name] for name in ("mfu", "peak_memory_bytes", "first_step_seconds")) > 0
        assert {metric.n for metric in result.metrics} == {3}
    printed = Command(["report", f"paths.root={root}"]).finished()
    assert "Efficiency" in printed
    assert "hole" in printed
    page = (root / "reports" / "scaling" / "report.md").read_text()
    assert "skipped: runtime.nodes=2, and launcher=local has this machine only" in page
    assert (root / "reports" / "scaling" / "scaling.png").exists()
    assert "Small scaling" in (root / "reports" / "index.md").read_text()
