"""One trial's training: from a config and a built data set to a trained method on disk.

A run killed at any step and started again goes on from its last checkpoint and ends with the same bytes on
the same machine: order, pairs, augmentation and masks are functions of (seed, step) alone.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core import checkpoint, distributed, telemetry
from core.compose import trial_to_dict
from core.config import TrialConfig
from core.curation.base import Curated
from core.curation.choose import choose_studies, everything
from core.data.augment import augment
from core.data.batches.base import BATCHES
from core.data.loader import Loader, make_loader
from core.data.pairings.base import PAIRINGS
from core.data.reports import SPECIAL
from core.data.store import StudyStore, StudyTable
from core.data.types import Bools, Ints
from core.engines.base import ENGINES, Engine
from core.errors import ConfigError, Interrupted, NonFiniteLossError
from core.export import export_encoder, load_method_weights, save_method
from core.identity import code_version, differences, result_config, trial_id
from core.initial import initialise
from core.io import read_json, write_json
from core.methods.base import METHODS, Method, MethodContext, ViewBatch
from core.models.compiled import compile_blocks
from core.schedules import learning_rate, weight_decay
from core.stages import Stage, stages
from core.weights_file import MODEL_FILE
from core.workers import keep_freed_memory

OnStep = Callable[[int, int], None]
Stop = Callable[[], bool]

# Two streams of random numbers a step: adding a draw to one must not shift the other.
AUGMENT_STREAM, METHOD_STREAM = 0, 1


def never() -> bool:
    """Nobody asks this run to stop."""
    return False


def pick_device(name: str) -> torch.device:
    """ "auto" is CUDA where there is one. Raises ConfigError for cuda on a machine without."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("runtime.device=cuda, but torch sees no CUDA device", "use runtime.device=cpu or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def step_generator(device: torch.device, seed: int, step: int, stream: int) -> torch.Generator:
    """A generator on `device` that depends on (seed, step, stream) alone."""
    words = np.random.SeedSequence([seed, step, stream]).generate_state(2, np.uint32)
    return torch.Generator(device).manual_seed((int(words[0]) << 31) ^ int(words[1]))


@dataclass(frozen=True)
class Plan:
    """Lengths of a run in optimiser steps; an epoch is one pass over all training studies."""

    total: int
    per_epoch: int
    warmup: float
    peak_lr: float


def plan(config: TrialConfig, table: StudyTable) -> Plan:
    """How long a trial trains. A method that sees fewer studies still takes as many steps as one that sees all."""
    batch = min(config.train.batch_size, table.n_studies)
    per_epoch = max(1, table.n_studies // batch)
    return Plan(
        total=per_epoch * config.train.epochs,
        per_epoch=per_epoch,
        warmup=config.optim.warmup_epochs * per_epoch,
        peak_lr=config.optim.base_lr * config.train.batch_size / 256,
    )


def report_sizes(store: StudyStore) -> tuple[int, int]:
    """Numbers that a word of a report may have, and words of the longest report; (0, 0) without reports."""
    reports = store.splits["train"].reports
    return (0, 0) if reports is None else (SPECIAL + len(store.vocabulary), reports.shape[1])


def build_engine(config: TrialConfig) -> Engine:
    """The engine on the device that the config asks for; joins the process group, if any."""
    engine: Engine = ENGINES.build(config.engine, pick_device(config.runtime.device))
    return engine


def build_method(config: TrialConfig, store: StudyStore, device: torch.device) -> Method:
    """The method with fresh weights, drawn from the trial's seed."""
    lengths = plan(config, store.splits["train"])
    attention = config.runtime.attention
    if attention == "auto":
        # Measured: on the CPU, bf16 with the fused kernel is 3-8 times slower than plain matrix products.
        attention = "sdpa" if device.type == "cuda" else "plain"
    context = MethodContext(
        config.model, store.size, store.label_names, lengths.total, lengths.per_epoch, attention, *report_sizes(store)
    )
    torch.manual_seed(config.seed)
    method: Method = METHODS.build(config.method, context)
    return method


def load_method(config: TrialConfig, store: StudyStore, folder: Path, device: torch.device) -> Method:
    """The trained method of a trial's folder, in evaluation mode."""
    method = build_method(config, store, device)
    load_method_weights(folder / MODEL_FILE, method)
    return method.to(device).eval()


def training_loader(config: TrialConfig, table: StudyTable, studies: Bools, clusters: Ints, engine: Engine) -> Any:
    """The batches of a trial: studies of the training split that it may see. clusters: [T, S], of the whole split."""
    filling = BATCHES.build(config.batches, clusters[:, studies]) if config.batches else None
    return make_loader(
        table.subset(studies),
        PAIRINGS.build(config.pairing),
        config.loader,
        seed=config.seed,
        batch_size=config.train.batch_size,
        rank=engine.rank,
        world_size=engine.world_size,
        filling=filling,
    )


def write_config(config: TrialConfig, store: StudyStore, folder: Path) -> None:
    """config.json before step 0. Raises ConfigError, naming the fields, when the folder is another trial's."""
    path, wanted = folder / "config.json", result_config(config)
    if path.exists():
        fields = differences(read_json(path)["result_config"], wanted)
        if fields:
            raise ConfigError(
                f"{folder} holds a run of another config: " + "; ".join(fields),
                "choose another folder, or go back to that config",
            )
        return
    record = {
        "trial": trial_id(config),
        "seed": config.seed,
        "config": trial_to_dict(config),
        "result_config": wanted,
        "code": code_version(),
        "data_fingerprint": store.fingerprint,
    }
    write_json(path, record)


class Run:
    """One trial being trained: the engine, where it stands, and what it has cost."""

    def __init__(
        self,
        config: TrialConfig,
        store: StudyStore,
        folder: Path,
        curated: Curated | None = None,
        engine: Engine | None = None,
        earlier: Sequence[Path] = (),
    ) -> None:
        """engine: who runs it, one of its own if none is given. earlier: folders of stages whose cost counts too."""
        # Batches come and go, and so do their activations on the CPU.
        keep_freed_memory()
        self.config, self.store, self.folder, self.earlier = config, store, folder, earlier
        self.table = store.splits["train"]
        self.curated = curated or everything(self.table)
        self.plan = plan(config, self.table)
        self.engine: Engine = engine or build_engine(config)
        method = build_method(config, store, self.engine.device)
        initialise(method, config.init)
        studies = method.train_studies(self.table, config.seed) & self.curated.studies
        self.loader: Loader = training_loader(config, self.table, studies, self.curated.clusters, self.engine)
        self.flops = method.forward_flops()
        self.parameters = sum(p.numel() for p in method.parameters())
        self.engine.prepare(method, config.optim, config.train)
        if config.runtime.compile:
            compile_blocks(method)
        self.peak = telemetry.peak_tflops(config.runtime, self.engine.device, config.train.precision)
        self.meter, self.start = telemetry.Meter(), 0

    @property
    def checkpoints(self) -> Path:
        """Where this run's checkpoints lie."""
        return self.folder / "checkpoints"

    def resume(self) -> None:
        """Go back to the newest checkpoint that verifies, if there is one."""
        found = checkpoint.latest(self.checkpoints) if self.engine.rank == 0 else None
        about = distributed.from_first_rank(found and (found[0], found[1]["rng"], found[1]["meter"]))
        if about is None:
            return
        self.start, rng, meter = about
        self.engine.load_state_dict(found[1]["engine"] if found else {})
        torch.set_rng_state(rng)
        self.meter = telemetry.Meter(**meter)
        lost = [r for r in telemetry.read_telemetry(self.folder / "telemetry.jsonl") if r["step"] >= self.start]
        if lost:
            self.meter.wasted_seconds += max(0.0, lost[-1]["seconds"] - self.meter.seconds)

    def save(self, step: int) -> None:
        """Checkpoint: `step` optimiser steps are done."""
        state = {"engine": self.engine.state_dict(), "rng": torch.get_rng_state(), "meter": asdict(self.meter)}
        if self.engine.rank == 0:
            checkpoint.save(self.checkpoints, step, state, self.config.runtime.keep_checkpoints)

    def batches(self) -> Iterator[ViewBatch]:
        """Batches from where the run stands; the time spent waiting for them is metered."""
        source = iter(self.loader.batches(self.start, self.plan.total))
        while True:
            began = time.perf_counter()
            batch = next(source, None)
            self.meter.data_wait_seconds += time.perf_counter() - began
            if batch is None:
                return
            yield batch

    def train_step(self, batch: ViewBatch, step: int) -> dict[str, Tensor]:
        """One optimiser step on one batch."""
        device, seed = self.engine.device, self.config.seed
        views = augment(batch.to(device), self.config.augment, step_generator(device, seed, step, AUGMENT_STREAM))
        plan = self.plan
        lr = learning_rate(plan.peak_lr, step, plan.warmup, plan.total, self.config.optim.final_lr_fraction)
        optim = self.config.optim
        if optim.final_weight_decay is not None:
            self.engine.set_weight_decay(weight_decay(optim.weight_decay, optim.final_weight_decay, step, plan.total))
        losses = self.engine.step(views, step, lr, step_generator(device, seed, step, METHOD_STREAM))
        self.meter.images += sum(batch.images_per_rank)
        return losses

    def check_finite(self) -> None:
        """Raise NonFiniteLossError, with the step and its studies, once a loss was not finite."""
        bad = self.engine.first_bad_step()
        if bad < 0:
            return
        batch = next(iter(self.loader.batches(bad, bad + 1)))
        studies = self.loader.study_ids(batch)
        state = self.engine.state_dict()
        if self.engine.rank == 0:
            checkpoint.save(self.folder / "non_finite", bad, {"engine": state}, keep=1)
            write_json(self.folder / "non_finite" / "batch.json", {"step": bad, "study_ids": studies})
        raise NonFiniteLossError(
            f"the loss of step {bad} is not finite; its studies: {', '.join(studies[:8])}"
            + (f" and {len(studies) - 8} more" if len(studies) > 8 else ""),
            f"the weights before that step and all study ids are in {self.folder / 'non_finite'}; "
            "try a lower optim.base_lr or train.precision=fp32",
        )

    def record(self, step: int, losses: dict[str, Tensor], lr: float) -> dict[str, Any]:
        """One telemetry record, the same on every rank; reading the losses waits for the device."""
        size = self.engine.world_size
        values = {name: float(distributed.sum_over_ranks(value)) / size for name, value in losses.items()}
        rates = telemetry.throughput(self.meter, sum(self.flops.values()), self.peak, size)
        return {
            "step": step,
            "epoch": step / self.plan.per_epoch,
            "seconds": self.meter.seconds,
            "lr": lr,
            **values,
            **rates,
            "peak_memory_bytes": telemetry.peak_memory(self.engine.device),
        }

    def loop(self, on_step: OnStep | None, stop: Stop) -> None:
        """All steps from where the run stands to the end. Raises Interrupted, with a checkpoint, when told to stop."""
        runtime, plan, stopping = self.config.runtime, self.plan, distributed.StopTogether(stop)
        with contextlib.ExitStack() as open_files:
            sinks = []
            if self.engine.rank == 0:
                sinks.append(telemetry.Telemetry(self.folder, self.start, runtime.tensorboard))
                open_files.enter_context(sinks[0])
            mark, step = time.perf_counter(), self.start
            for step, batch in enumerate(self.batches(), self.start):
                losses = self.train_step(batch, step)
                now = time.perf_counter()
                self.meter.seconds, mark = self.meter.seconds + now - mark, now
                last = step + 1 == plan.total
                if last or (step + 1) % runtime.log_every == 0:
                    self.check_finite()
                    lr = learning_rate(plan.peak_lr, step, plan.warmup, plan.total, self.config.optim.final_lr_fraction)
                    record = self.record(step, losses, lr)
                    for sink in sinks:
                        sink.write(record)
                stopped = not last and stopping()
                due = runtime.checkpoint_every and (step + 1) % runtime.checkpoint_every == 0
                if not last and (due or stopped):
                    self.check_finite()
                    self.save(step + 1)
                if on_step is not None:
                    on_step(step + 1, plan.total)
                if stopped:
                    stopping.settle()
                    raise Interrupted(f"stopped at step {step + 1} of {plan.total}; a checkpoint was written")
            stopping.settle()

    def cost(self) -> dict[str, Any]:
        """What the run cost, all resumes included."""
        # Other processes wait while the first one curates.
        seconds = self.meter.seconds + self.meter.wasted_seconds + self.curated.seconds
        hours = seconds * self.engine.world_size / 3600
        device = self.engine.device
        rates = telemetry.throughput(self.meter, sum(self.flops.values()), self.peak, self.engine.world_size)
        pairs = self.loader.pair_counts(0) if self.plan.total else {}
        return {
            **asdict(self.meter),
            **rates,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "device_hours": hours,
            "cost": hours * self.config.runtime.cost_per_hour,
            "peak_memory_bytes": telemetry.peak_memory(device),
            "peak_tflops": self.peak,
            "parameters": self.parameters,
            "encoder_flops": self.flops.get("encoder", 0.0),
            "decoder_flops": sum(v for k, v in self.flops.items() if k != "encoder"),
            "steps": self.plan.total,
            "pairs": pairs,
            "curation_seconds": self.curated.seconds,
        }

    def finish(self) -> None:
        """Write cost, exported encoders and, last, the method's weights; then the checkpoints are not needed."""
        weights = self.engine.weights()
        if self.engine.rank > 0:
            return
        method = build_method(self.config, self.store, torch.device("cpu"))
        method.load_state_dict(weights)
        before = [read_json(folder / telemetry.COST) for folder in self.earlier]
        telemetry.write_cost(self.folder, telemetry.summed_cost([*before, self.cost()]))
        export_encoder(self.folder, method.encoder)
        save_method(self.folder / MODEL_FILE, method)
        checkpoint.remove(self.checkpoints)


def train(
    config: TrialConfig, store: StudyStore, folder: Path, on_step: OnStep | None = None, stop: Stop = never
) -> None:
    """Train a trial in `folder`; returns at once when it is trained, goes on where it was when it is not.

    stop: asked once a step; when it says yes on any rank, all ranks stop at the same step, a checkpoint is written
    and Interrupted is raised. Raises ConfigError when the folder holds another config's run, NonFiniteLossError when
    the loss is not finite (the state before that step is kept), DataError for broken shards.
    """
    write_config(config, store, folder)
    if (folder / MODEL_FILE).exists():
        return
    if config.runtime.threads:
        torch.set_num_threads(config.runtime.threads)
    curated = choose_studies(config, store, folder / "curation", on_step, stop)
    total, done = plan(config, store.splits["train"]).total, 0
    engine = build_engine(config)
    try:
        for stage in stages(config, folder):
            if stage.folder != folder:
                write_config(stage.config, store, stage.folder)
            train_stage(stage, store, curated, engine, shifted(on_step, done, total), stop)
            done += plan(stage.config, store.splits["train"]).total
    finally:
        engine.close()


def shifted(on_step: OnStep | None, before: int, total: int) -> OnStep | None:
    """`on_step` for a stage that follows `before` of all `total` steps."""
    return None if on_step is None else lambda step, _: on_step(before + step, total)


def train_stage(
    stage: Stage, store: StudyStore, curated: Curated, engine: Engine, on_step: OnStep | None, stop: Stop
) -> None:
    """Train one stage, from where it stands, unless it is trained; `train` says what it raises."""
    # The first process looks for all: a network disk that has once said "no" to another may go on saying so.
    if distributed.from_first_rank(engine.rank == 0 and (stage.folder / MODEL_FILE).exists()):
        return
    run = Run(stage.config, store, stage.folder, curated, engine, stage.earlier)
    run.resume()
    run.loop(on_step, stop)
    run.finish()
    # Nobody leaves before the files are there: whoever goes on expects them, and the first to go ends the group.
    engine.wait()
