"""Training a real trial: kill -9 and resume, refusals, non-finite losses, the record it leaves."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core import checkpoint
from core.config import TrialConfig
from core.data.build import prepare
from core.data.store import StudyStore
from core.engines.ddp_engine import DDPEngine
from core.errors import CheckpointError, ConfigError, NonFiniteLossError
from core.io import read_json, sha256_file
from core.methods.base import METHODS
from core.telemetry import read_telemetry
from core.trainer import MODEL_FILE, Run, load_method, train
from tests.core.conftest import in_process, small_trial
from tests.core.small import small_overrides

Trial = Callable[..., TrialConfig]
Built = tuple[Path, StudyStore]


def train_until(root: Path, overrides: tuple[str, ...], folder: Path, last: int) -> None:
    """Train, and end by kill -9 once `last` steps are done."""
    config = small_trial(root, overrides)

    def die(step: int, _: int) -> None:
        if step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    train(config, prepare(config.data, root), folder, on_step=die)


@pytest.fixture(scope="module")
def undisturbed(built: Built, trial: Trial, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    train(trial(), built[1], folder)
    return folder


def test_a_run_killed_at_several_points_ends_with_the_same_bytes(
    built: Built, trial: Trial, tmp_path: Path, undisturbed: Path
) -> None:
    for last in (1, 3, 4, 7):
        assert in_process(train_until, built[0], (), tmp_path, last) == -signal.SIGKILL
        assert not (tmp_path / MODEL_FILE).exists()
    train(trial(), built[1], tmp_path)
    for name in (MODEL_FILE, "encoder_frontal.safetensors", "encoder_lateral.safetensors"):
        assert sha256_file(tmp_path / name) == sha256_file(undisturbed / name)
    once, again = (read_telemetry(f / "telemetry.jsonl") for f in (undisturbed, tmp_path))
    assert [(r["step"], r["loss"]) for r in once] == [(r["step"], r["loss"]) for r in again]


def test_a_damaged_checkpoint_is_passed_over(built: Built, trial: Trial, tmp_path: Path, undisturbed: Path) -> None:
    overrides = ("runtime.keep_checkpoints=2",)
    config = trial(*overrides)
    assert in_process(train_until, built[0], overrides, tmp_path, 7) == -signal.SIGKILL
    steps = checkpoint.saved_steps(tmp_path / "checkpoints")
    assert len(steps) == 2
    newest = tmp_path / "checkpoints" / f"step-{steps[-1]:09d}.pt"
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    run = Run(config, built[1], tmp_path)
    run.resume()
    assert run.start == steps[0]
    train(config, built[1], tmp_path)
    assert sha256_file(tmp_path / MODEL_FILE) == sha256_file(undisturbed / MODEL_FILE)


def test_other_seeds_and_methods_give_other_weights(
    built: Built, trial: Trial, tmp_path: Path, undisturbed: Path
) -> None:
    train(trial("seed=1"), built[1], tmp_path / "seed")
    train(trial("pairing=random"), built[1], tmp_path / "pairing")
    hashes = {sha256_file(f / MODEL_FILE) for f in (undisturbed, tmp_path / "seed", tmp_path / "pairing")}
    assert len(hashes) == 3


def test_loader_threads_and_prefetching_do_not_change_the_result(
    built: Built, trial: Trial, tmp_path: Path, undisturbed: Path
) -> None:
    train(trial("loader.workers=3", "loader.prefetch=7"), built[1], tmp_path)
    assert sha256_file(tmp_path / MODEL_FILE) == sha256_file(undisturbed / MODEL_FILE)


def test_a_trained_folder_is_left_alone(built: Built, trial: Trial, undisturbed: Path) -> None:
    before = (undisturbed / MODEL_FILE).stat().st_mtime_ns
    train(trial(), built[1], undisturbed, on_step=lambda *_: pytest.fail("trained again"))
    assert (undisturbed / MODEL_FILE).stat().st_mtime_ns == before


def test_resume_refuses_another_config_and_names_the_fields(built: Built, trial: Trial, undisturbed: Path) -> None:
    with pytest.raises(ConfigError, match=r"method\.mask_ratio: 0\.75 -> 0\.5"):
        train(trial("method.mask_ratio=0.5"), built[1], undisturbed)


def test_what_does_not_change_the_result_may_change(built: Built, trial: Trial, undisturbed: Path) -> None:
    train(trial("runtime.log_every=7", "loader.workers=0"), built[1], undisturbed)


def test_config_is_on_disk_before_the_first_step(built: Built, tmp_path: Path) -> None:
    assert in_process(train_until, built[0], (), tmp_path, 1) == -signal.SIGKILL
    saved = read_json(tmp_path / "config.json")
    assert saved["config"]["method"]["mask_ratio"] == 0.75
    assert saved["data_fingerprint"] == built[1].fingerprint


def test_no_epochs_leave_the_fresh_weights(built: Built, trial: Trial, tmp_path: Path) -> None:
    from core.trainer import build_method

    config = trial("train.epochs=0")
    train(config, built[1], tmp_path)
    fresh = build_method(config, built[1], torch.device("cpu")).state_dict()
    trained = load_method(config, built[1], tmp_path, torch.device("cpu")).state_dict()
    assert all(torch.equal(fresh[name], trained[name]) for name in fresh)


def test_a_trained_trial_keeps_no_checkpoints(undisturbed: Path) -> None:
    assert (undisturbed / MODEL_FILE).exists()
    assert not (undisturbed / "checkpoints").exists()


def test_cost_and_telemetry(built: Built, undisturbed: Path) -> None:
    cost = read_json(undisturbed / "cost.json")
    table = built[1].splits["train"]
    assert cost["steps"] == 3 * (table.n_studies // 8)
    assert cost["images"] <= 3 * table.n_images
    assert cost["encoder_flops"] > 0 < cost["decoder_flops"]
    assert sum(cost["pairs"].values()) > 0
    records = read_telemetry(undisturbed / "telemetry.jsonl")
    assert [r["step"] for r in records] == list(range(cost["steps"]))
    assert {"loss", "reconstruction", "alignment", "lr", "images_per_second", "mfu", "data_wait_seconds"} <= set(
        records[0]
    )


def test_seconds_survive_a_resume(built: Built, trial: Trial, tmp_path: Path) -> None:
    assert in_process(train_until, built[0], (), tmp_path, 6) == -signal.SIGKILL
    before = read_telemetry(tmp_path / "telemetry.jsonl")[-1]["seconds"]
    train(trial(), built[1], tmp_path)
    cost = read_json(tmp_path / "cost.json")
    assert cost["seconds"] + cost["wasted_seconds"] > before


def test_a_non_finite_loss_stops_with_the_step_its_studies_and_the_weights_before_it(
    built: Built, trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, real = trial("runtime.log_every=100", "runtime.checkpoint_every=0"), DDPEngine.step

    def poisoned(self: DDPEngine, batch, step, lr, generator):  # type: ignore[no-untyped-def]
        images = batch.images * float("nan") if step == 5 else batch.images
        return real(self, replace(batch, images=images), step, lr, generator)

    monkeypatch.setattr(DDPEngine, "step", poisoned)
    with pytest.raises(NonFiniteLossError, match="step 5 is not finite"):
        train(config, built[1], tmp_path)
    kept = read_json(tmp_path / "non_finite" / "batch.json")
    assert kept["step"] == 5
    assert set(kept["study_ids"]) <= set(built[1].splits["train"].study_ids.tolist())
    assert len(kept["study_ids"]) == 8
    weights = checkpoint.load(tmp_path / "non_finite", 5)["engine"]["method"]
    assert all(torch.isfinite(w).all() for w in weights.values())
    monkeypatch.undo()
    stopped = tmp_path / "stopped"
    assert in_process(train_until, built[0], ("runtime.checkpoint_every=5",), stopped, 5) == -signal.SIGKILL
    honest = checkpoint.load(stopped / "checkpoints", 5)["engine"]["method"]
    assert all(torch.equal(weights[name], honest[name]) for name in honest)


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_trains_resumes_and_loads(name: str, built: Built, trial: Trial, tmp_path: Path) -> None:
    overrides = (f"method={name}", "train.epochs=1", *small_overrides(name))
    config = trial(*overrides)
    assert in_process(train_until, built[0], overrides, tmp_path / "cut", 3) == -signal.SIGKILL
    for folder in ("cut", "whole"):
        train(config, built[1], tmp_path / folder)
    assert sha256_file(tmp_path / "cut" / MODEL_FILE) == sha256_file(tmp_path / "whole" / MODEL_FILE)
    load_method(config, built[1], tmp_path / "cut", torch.device("cpu"))


def test_weights_of_another_model_are_refused(built: Built, trial: Trial, undisturbed: Path) -> None:
    with pytest.raises(CheckpointError, match="does not fit"):
        load_method(trial("model.width=64"), built[1], undisturbed, torch.device("cpu"))


def test_supervised_sees_its_label_fraction_alone_and_takes_as_many_steps(
    built: Built, trial: Trial, tmp_path: Path
) -> None:
    config = trial("method=supervised", "method.label_fraction=0.1")
    run = Run(config, built[1], tmp_path)
    table = built[1].splits["train"]
    few = run.loader.table
    assert len(set(few.patient_ids)) == -(-len(set(table.patient_ids)) // 10)
    assert run.plan.total == 3 * (table.n_studies // 8)


def test_tensorboard_files_hold_the_loss(built: Built, trial: Trial, tmp_path: Path) -> None:
    from tensorboardX.proto.event_pb2 import Event

    train(trial("train.epochs=1", "runtime.tensorboard=true"), built[1], tmp_path)
    (path,) = (tmp_path / "tensorboard").iterdir()
    data, events = path.read_bytes(), []
    while data:
        length = int.from_bytes(data[:8], "little")
        events.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    found = {(e.step, v.tag): v.simple_value for e in events for v in e.summary.value}
    for record in map(json.loads, (tmp_path / "telemetry.jsonl").read_text().splitlines()):
        assert found[record["step"], "loss"] == pytest.approx(record["loss"], rel=1e-5)
