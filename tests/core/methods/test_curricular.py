"""A curriculum beside the same trials run by hand; killed and resumed; its settings, its cost, its refusals."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from core.compose import trial_from_dict, trial_to_dict
from core.config import TrialConfig
from core.data.build import prepare
from core.data.store import StudyStore
from core.errors import ConfigError, Interrupted
from core.identity import trial_id
from core.io import read_json, sha256_file
from core.methods.curricular import CurricularConfig
from core.stages import progress
from core.telemetry import summed_cost
from core.trainer import MODEL_FILE, load_method, train
from tests.core.conftest import in_process, small_trial
from tests.core.engines.ranks import on_two, train_there

Trial = Callable[..., TrialConfig]
Built = tuple[Path, StudyStore]
STAGES = "method.stages=[{name: mae, share: 1, pairing: none}, {name: simclr, share: 2, dimension: 16}]"
CURRICULUM = ("method=curricular", STAGES, "runtime.checkpoint_every=2")
FILES = (MODEL_FILE, "encoder_frontal.safetensors", "encoder_lateral.safetensors")


def train_until(root: Path, folder: Path, last: int) -> None:
    """Train, and end by kill -9 once `last` steps are done."""
    config = small_trial(root, CURRICULUM)

    def die(step: int, _: int) -> None:
        if step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    train(config, prepare(config.data, root), folder, on_step=die)


@pytest.fixture(scope="module")
def whole(built: Built, trial: Trial, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A curriculum of 3 epochs, one of MAE and two of SimCLR, left alone."""
    folder = tmp_path_factory.mktemp("whole")
    seen: list[tuple[int, int]] = []
    train(trial(*CURRICULUM), built[1], folder, on_step=lambda step, total: seen.append((step, total)))
    assert [step for step, _ in seen] == list(range(1, seen[-1][1] + 1)), "steps count on over the stages"
    return folder


def same(one: Path, two: Path) -> bool:
    return all(sha256_file(one / name) == sha256_file(two / name) for name in FILES)


def test_it_is_each_method_started_from_the_one_before(built: Built, trial: Trial, whole: Path, tmp_path: Path) -> None:
    train(trial("method=mae", "pairing=none", "optim=adamw", "train.epochs=1"), built[1], tmp_path / "mae")
    assert same(whole / "stages" / "1-mae", tmp_path / "mae")
    second = ("method=simclr", "method.dimension=16", "train.epochs=2", f"init.path={tmp_path / 'mae'}")
    train(trial(*second), built[1], tmp_path / "simclr")
    assert same(whole, tmp_path / "simclr")
    train(trial(*second[:3]), built[1], tmp_path / "alone")
    assert not same(whole, tmp_path / "alone")


@pytest.mark.parametrize("kind", ["killed", "stopped"])
def test_cut_in_any_stage_and_resumed_it_ends_with_the_same_bytes(
    kind: str, built: Built, trial: Trial, whole: Path, tmp_path: Path
) -> None:
    config, first = trial(*CURRICULUM), read_json(whole / "stages" / "1-mae" / "cost.json")["steps"]
    for last in (first + 3,) if kind == "killed" else (2, first, first + 1, first + 4):
        if kind == "killed":
            assert in_process(train_until, built[0], tmp_path, last) == -signal.SIGKILL
        else:
            _stop_at(config, built[1], tmp_path, last)
        assert not (tmp_path / MODEL_FILE).exists()
        assert progress(tmp_path).startswith("stage 2" if last >= first else "step")
    train(config, built[1], tmp_path)
    assert progress(tmp_path) == "trained"
    assert same(whole, tmp_path)
    assert same(whole / "stages" / "1-mae", tmp_path / "stages" / "1-mae")


def _stop_at(config: TrialConfig, store: StudyStore, folder: Path, last: int) -> None:
    reached = [0]
    with pytest.raises(Interrupted):
        train(config, store, folder, lambda step, _: reached.__setitem__(0, step), lambda: reached[0] >= last - 1)


def test_two_processes_go_through_the_stages_together(built: Built, whole: Path, tmp_path: Path) -> None:
    on_two((train_there, (built[0], CURRICULUM, tmp_path)))
    for folder in ("", "stages/1-mae"):
        one, two = (read_json(where / folder / "cost.json") for where in (whole, tmp_path))
        assert (one["steps"], one["images"]) == (two["steps"], two["images"])
    assert (tmp_path / MODEL_FILE).exists()


def test_its_cost_is_that_of_all_stages(whole: Path) -> None:
    total, first = (read_json(folder / "cost.json") for folder in (whole, whole / "stages" / "1-mae"))
    last_steps = total["steps"] - first["steps"]
    assert last_steps == 2 * first["steps"]
    assert total["seconds"] > first["seconds"]
    assert total["images"] > first["images"]
    one = {"seconds": 1.0, "images": 10, "mfu": 0.2, "encoder_flops": 4.0, "decoder_flops": 2.0, "steps": 5,
           "data_wait_seconds": 0.5, "wasted_seconds": 0.0, "device_hours": 0.1, "cost": 1.0, "peak_memory_bytes": 9,
           "images_per_second": 10.0, "device": "cpu", "parameters": 3}  # fmt: skip
    two = {
        **one,
        "seconds": 3.0,
        "images": 30,
        "mfu": 0.4,
        "encoder_flops": 8.0,
        "peak_memory_bytes": 7,
        "parameters": 4,
    }
    found = summed_cost([one, two])
    assert (found["seconds"], found["images"], found["images_per_second"], found["steps"]) == (4.0, 40, 10.0, 10)
    assert found["mfu"] == pytest.approx((0.2 * 1 + 0.4 * 3) / 4)
    assert found["encoder_flops"] == pytest.approx((4 * 10 + 8 * 30) / 40)
    assert (found["peak_memory_bytes"], found["parameters"]) == (9, 4)


def test_a_stage_is_a_trial_that_can_be_evaluated(built: Built, whole: Path) -> None:
    record = read_json(whole / "stages" / "1-mae" / "config.json")
    config = trial_from_dict(record["config"])
    assert trial_id(config) == record["trial"]
    assert (config.method.name, config.pairing.name, config.train.epochs) == ("mae", "none", 1)
    load_method(config, built[1], whole / "stages" / "1-mae", torch.device("cpu"))


def test_supervised_training_may_come_last(built: Built, trial: Trial, tmp_path: Path) -> None:
    stages = "method.stages=[mae,{name: supervised, label_fraction: 0.5, pairing: none}]"
    config = trial("method=curricular", stages, "train.epochs=2")
    train(config, built[1], tmp_path)
    assert hasattr(load_method(config, built[1], tmp_path, torch.device("cpu")), "predict")
    assert config.method.label_fraction == 0.5


def test_epochs_are_shared_out_and_add_up(trial: Trial) -> None:
    for epochs, expected in ((3, [1, 2]), (8, [3, 5]), (0, [0, 0])):
        config = trial(*CURRICULUM, f"train.epochs={epochs}")
        assert [stage.train.epochs for stage in config.method.in_sequence(config)] == expected


def test_an_id_is_of_all_settings_however_they_are_written(trial: Trial) -> None:
    one = trial("method=curricular", "method.stages=[mae,simclr]")
    two = trial("method=curricular", "method.stages=[{name: mae, mask_ratio: 0.75},{name: simclr, share: 1}]")
    other = trial("method=curricular", "method.stages=[{name: mae, mask_ratio: 0.5},simclr]")
    order = trial("method=curricular", "method.stages=[simclr,mae]")
    again = trial_from_dict(trial_to_dict(one))
    assert trial_id(one) == trial_id(two) == trial_id(again)
    assert len({trial_id(one), trial_id(other), trial_id(order)}) == 3


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], r"method\.stages is empty"),
        (["may"], r"method\.stages\[0\] \(may\): method=may does not exist"),
        (["mae", {"mask_ratio": 0.5}], r"method\.stages\[1\]=.* names no method"),
        (["curricular"], "names no method"),
        ([{"name": "mae", "mask_ration": 0.5}], "there is no setting 'mask_ration'"),
        ([{"name": "mae", "mask_ratio": 1.5}], r"method\.mask_ratio=1\.5 is outside"),
        ([{"name": "mae", "mask_ratio": "most"}], r"\(mae\).*most"),
        ([{"name": "mae", "share": 0}], "share=0.0 is outside"),
        ([{"name": "mae", "pairing": "nun"}], "pairing=nun does not exist"),
    ],
)
def test_stages_that_cannot_work_are_refused_by_number(stages: list[Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CurricularConfig(stages=stages)


def test_a_stage_must_fit_the_rest_of_the_trial(trial: Trial) -> None:
    with pytest.raises(ConfigError, match=r"train\.epochs=1 leaves none for method\.stages\[0\] \(mae\)"):
        trial("method=curricular", "train.epochs=1")
    with pytest.raises(ConfigError, match="method=simclr needs pairs"):
        trial("method=curricular", "pairing=none")
    config = trial("method=curricular")
    assert replace(config, seed=1).method == config.method
