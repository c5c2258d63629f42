"""Throughput: what is made of what several processes saw, and that a measured step is a step of training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.bench.throughput import Measured, Seen, measure, metrics
from core.config import TrialConfig
from core.data.store import StudyStore
from core.errors import ConfigError, Interrupted
from core.measures.throughput import Throughput
from core.trainer import Run, never

THROUGHPUT = ("measure=throughput", "runtime.processes=1", "runtime.nodes=1", "measure.warm_up=2", "measure.steps=4")


def test_a_step_is_as_long_as_its_slowest_process_takes(trial: Callable[..., TrialConfig]) -> None:
    seen = [
        Seen(3.0, [0.1, 0.4, 0.2], [0.0, 0.3, 0.0], 0.02, 100),
        Seen(2.0, [0.2, 0.1, 0.2], [0.0, 0.0, 0.03], 0.04, 300),
    ]
    measured = Measured(seen, images=[10, 10, 20], flops_per_image=1e9, peak=0.5, cost={})
    found = {m.metric: (m.value, m.n, m.evaluation) for m in metrics(trial(*THROUGHPUT, "runtime.nodes=1"), measured)}
    values = {name: value for name, (value, _, _) in found.items()}
    # slowest: 0.2, 0.4, 0.2 s; images a second: 50, 25, 100
    assert values["step_seconds"] == 0.2
    assert values["images_per_second"] == 50
    # 50 images/s x 3 x 1 GFLOP of two devices of 0.5 TFLOP/s
    assert values["mfu"] == pytest.approx(50 * 3e9 / (2 * 0.5e12))
    assert values["data_wait_seconds"] == pytest.approx((0.0 + 0.3 + 0.03) / 3)
    assert values["communication_seconds"] == pytest.approx(0.03)
    assert (values["peak_memory_bytes"], values["first_step_seconds"], values["processes"]) == (300, 3.0, 2)
    assert {(n, evaluation) for _, n, evaluation in found.values()} == {(3, "throughput")}


def test_measured_steps_train_as_training_does(
    trial: Callable[..., TrialConfig], built: tuple[Path, StudyStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After n measured steps the weights are those after n steps of the trainer's own loop."""
    config, store = trial(*THROUGHPUT, "measure.profiled=1"), built[1]
    weights: list[dict[str, torch.Tensor]] = []
    check = Run.check_finite
    monkeypatch.setattr(Run, "check_finite", lambda run: (check(run), weights.append(run.engine.weights()))[0])
    own = Throughput(config.measure)
    steps: list[tuple[int, int]] = []
    measured = measure(own.as_run(config, store), store, tmp_path, config.measure, lambda *s: steps.append(s), never)
    assert steps == [(n, 6) for n in range(1, 7)]
    assert len(measured.seen[0].step_seconds) == len(measured.images) == 4
    run = Run(own.as_run(config, store), store, tmp_path)
    for step, batch in zip(range(7), run.batches(), strict=False):
        run.train_step(batch, step)
    expected = run.engine.weights()
    assert weights[-1].keys() == expected.keys()
    assert all(torch.equal(weights[-1][name], expected[name]) for name in expected)
    assert sum(measured.images) <= measured.cost["images"] == run.meter.images


def test_a_warning_stops_it(trial: Callable[..., TrialConfig], built: tuple[Path, StudyStore], tmp_path: Path) -> None:
    config, store = trial(*THROUGHPUT), built[1]
    with pytest.raises(Interrupted, match="stopped at step 1 of 6"):
        measure(Throughput(config.measure).as_run(config, store), store, tmp_path, config.measure, None, lambda: True)


def test_a_batch_is_whole_and_each_process_has_its_share_of_it(
    trial: Callable[..., TrialConfig], built: tuple[Path, StudyStore]
) -> None:
    store = built[1]
    two = (*THROUGHPUT, "runtime.processes=2", "train.batch_size=6")
    sizes = {
        scaling: Throughput(config.measure).as_run(config, store).train.batch_size
        for scaling in ("strong", "weak")
        for config in [trial(*two, f"measure.scaling={scaling}")]
    }
    assert sizes == {"strong": 6, "weak": 12}
    large = trial(*THROUGHPUT, "train.batch_size=2048")
    with pytest.raises(ConfigError, match=r"a batch of 2048 studies .* is larger than the training split's"):
        Throughput(large.measure).as_run(large, store)


def test_another_number_of_processes_than_was_asked_for_is_refused(
    trial: Callable[..., TrialConfig], built: tuple[Path, StudyStore], tmp_path: Path
) -> None:
    config = trial(*THROUGHPUT)
    config = replace(config, runtime=replace(config.runtime, processes=2))
    with pytest.raises(ConfigError, match=r"runtime\.processes=2, but 1 train together"):
        measure(config, built[1], tmp_path, config.measure, None, never)
