"""ZeRO 0-3 on two real processes beside the plain engine on one: same losses, same checkpoints, same guard.

Importing DeepSpeed takes seconds, so one pair of processes does many jobs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core import checkpoint, trainer
from core.config import OptimConfig, TrainConfig, TrialConfig
from core.data.build import prepare
from core.data.store import StudyStore
from core.distributed import rank
from core.engines.base import ENGINES
from core.engines.deepspeed_engine import DeepSpeedEngineConfig
from core.errors import NonFiniteLossError
from core.io import read_json, sha256_file
from core.methods.base import ViewBatch
from core.methods.mvmae import MVMAE, MVMAEConfig
from core.telemetry import read_telemetry
from core.trainer import MODEL_FILE, Run, load_method, train
from tests.core.batches import make_batch, make_context
from tests.core.conftest import small_trial
from tests.core.engines.ranks import on_two, train_there, train_until

Trial = Callable[..., TrialConfig]
Built = tuple[Path, StudyStore]
Overrides = tuple[str, ...]

ZERO: dict[str, Overrides] = {f"zero{stage}": ("engine=deepspeed", f"engine.zero_stage={stage}") for stage in range(4)}
# Below its threshold ZeRO 3 would leave every parameter of so small a model whole.
ZERO["zero3"] += ("engine.persist_below=0",)
ZERO["offload"] = (*ZERO["zero2"], "engine.offload_optimizer=cpu")
FP32 = ("train.precision=fp32", "optim.base_lr=1e-2", "train.epochs=1")

LOSSES: dict[str, Overrides] = {
    "mvmae": ("method=mvmae", "pairing=same_study_any"),
    "infonce in parts": ("method.distance=infonce", "train.micro_batches=2", "model.positions=sincos"),
    "vicreg": ("method=vicreg", "method.expander=[16]", "pairing=same_study_any"),
    "bf16": ("train.precision=bf16",),
    "bf16 weights": ("train.precision=bf16", "engine.weights=bf16"),
}
RESUMED = ("zero2", "zero3")
MATRIX = {
    "mvmae": [*ZERO],
    "infonce in parts": ["zero0", "zero1", "zero3", "offload"],
    "vicreg": ["zero3"],
    "bf16": ["zero2"],
    "bf16 weights": ["zero3"],
}


def curves(folder: Path) -> dict[str, list[float]]:
    records = read_telemetry(folder / "telemetry.jsonl")
    return {name: [record[name] for record in records] for name in ("loss", "gradient_norm")}


@pytest.fixture(scope="module")
def trained_on_two(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """<engine>/<loss>: every loss trained by every engine on two processes."""
    folder = tmp_path_factory.mktemp("two")
    fast = (*FP32, "runtime.checkpoint_every=0")
    on_two(
        *(
            (train_there, (built[0], (*fast, *loss, *ZERO[engine]), folder / engine / name))
            for name, loss in LOSSES.items()
            for engine in MATRIX[name]
        )
    )
    return folder


@pytest.mark.parametrize("name", LOSSES)
def test_every_stage_trains_what_one_plain_process_does(
    name: str, trained_on_two: Path, built: Built, trial: Trial, tmp_path: Path
) -> None:
    train(trial(*FP32, *(o for o in LOSSES[name] if not o.startswith("engine."))), built[1], tmp_path)
    expected = curves(tmp_path)
    assert len(expected["loss"]) >= 5
    assert expected["loss"][0] != pytest.approx(expected["loss"][-1], rel=1e-2)
    # Rounded to bf16, sums of other halves of a batch differ by more.
    tolerance = 2e-2 if "bf16" in name else 1e-4
    for engine in MATRIX[name]:
        for quantity, values in curves(trained_on_two / engine / name).items():
            assert values == pytest.approx(expected[quantity], rel=tolerance), (engine, quantity)


def through(root: Path, engine: Overrides, folder: Path) -> None:
    """Load the newest checkpoint of `folder` and read it back: nothing may have changed."""
    config = small_trial(root, (*FP32, *engine))
    run = Run(config, prepare(config.data, root), folder)
    run.resume()
    assert run.start == 2
    state = run.engine.state_dict()
    if rank() == 0:
        same(state, checkpoint.load(folder / "checkpoints", 2)["engine"])
    else:
        assert not any(state.values())
    run.engine.close()


def same(one: dict, two: dict) -> None:
    assert one["method"].keys() == two["method"].keys()
    assert all(torch.equal(one["method"][name], two["method"][name]) for name in two["method"])
    assert one["optimiser"].keys() == two["optimiser"].keys()
    for name, entry in two["optimiser"].items():
        assert entry.keys() == one["optimiser"][name].keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(one["optimiser"][name][key], entry[key]) for key in entry)


def meet_a_bad_step(overrides: Overrides) -> None:
    """Step 2 is not finite on the last rank alone: no rank updates from there on."""
    stage = int(overrides[1].split("=")[1])
    config = DeepSpeedEngineConfig(zero_stage=stage, offload_optimizer="cpu" if len(overrides) > 2 else "none")
    engine = ENGINES.build(replace(config, persist_below=0), torch.device("cpu"))
    torch.manual_seed(0)
    engine.prepare(MVMAE(MVMAEConfig(), make_context()), OptimConfig(), TrainConfig(precision="fp32"))
    whole = make_batch([2] * 4)
    batch = replace(whole, images_per_study=(2,) * 8, pairs_per_study=(1,) * 8, slots=24)
    before = {}
    for step in range(4):
        scale = float("inf") if step == 2 and engine.rank == 1 else 1.0
        shown = replace(batch, images=batch.images * scale)
        engine.step(shown, step, 1e-3, torch.Generator().manual_seed(step))
        if step == 1:
            before = engine.state_dict()
            assert engine.first_bad_step() == -1
    assert engine.first_bad_step() == 2
    after = engine.state_dict()
    if engine.rank == 0:
        same(after, before)
    engine.close()


def refuse_a_bad_step(root: Path, overrides: Overrides, folder: Path) -> None:
    """A trial whose images are not finite at step 2, on the last rank alone, ends with the error on every rank."""
    real, steps = trainer.augment, iter(range(100))

    def poisoned(batch: ViewBatch, *arguments: object) -> ViewBatch:
        shown = real(batch, *arguments)  # type: ignore[arg-type]
        bad = next(steps) == 2 and rank() == 1
        return replace(shown, images=shown.images * float("nan")) if bad else shown

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "augment", poisoned)
        with pytest.raises(NonFiniteLossError, match="step 2 is not finite"):
            train_there(root, overrides, folder)


@pytest.fixture(scope="module")
def passed_around(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trials that were stopped and went on, on two processes: see the tests below."""
    root, folder = built[0], tmp_path_factory.mktemp("around")
    whole, fresh = (*FP32, "runtime.checkpoint_every=0"), (*FP32, "train.epochs=0")
    on_two(
        *((meet_a_bad_step, (ZERO[engine],)) for engine in ZERO),
        (refuse_a_bad_step, (root, (*FP32, *ZERO["zero3"]), folder / "blown up")),
        *((train_until, (root, (*FP32, *ZERO[e]), folder / f"{e} cut", 3)) for e in RESUMED),
        *((train_there, (root, (*FP32, *ZERO[e]), folder / f"{e} cut")) for e in RESUMED),
        *((train_there, (root, (*whole, *ZERO[e]), folder / f"{e} whole")) for e in RESUMED),
        *((train_there, (root, (*fresh, *ZERO[e]), folder / f"{e} fresh")) for e in RESUMED),
        (train_until, (root, (*FP32, *ZERO["zero2"]), folder / "handed on", 2)),
        *((through, (root, ZERO[engine], folder / "handed on")) for engine in ZERO),
        (through, (root, (), folder / "handed on")),
    )
    through(root, (), folder / "handed on")
    train_until(root, FP32, folder / "handed on", 4)
    on_two((train_there, (root, (*FP32, *ZERO["zero3"]), folder / "handed on")))
    return folder


def test_a_loss_that_is_not_finite_ends_the_trial_and_keeps_the_weights_before_it(passed_around: Path) -> None:
    kept = read_json(passed_around / "blown up" / "non_finite" / "batch.json")
    weights = checkpoint.load(passed_around / "blown up" / "non_finite", kept["step"])["engine"]["method"]
    assert kept["step"] == 2
    assert len(kept["study_ids"]) == 4
    assert all(torch.isfinite(w).all() for w in weights.values())


@pytest.mark.parametrize("engine", RESUMED)
def test_a_run_that_was_stopped_ends_with_the_same_bytes(engine: str, passed_around: Path) -> None:
    for name in (MODEL_FILE, "encoder_frontal.safetensors"):
        cut, whole = (sha256_file(passed_around / f"{engine} {kind}" / name) for kind in ("cut", "whole"))
        assert cut == whole
    assert curves(passed_around / f"{engine} cut") == curves(passed_around / f"{engine} whole")
    assert not (passed_around / f"{engine} cut" / "checkpoints").exists()


def test_a_checkpoint_goes_from_zero_2_on_two_to_ddp_on_one_to_zero_3_on_two(
    passed_around: Path, built: Built, trial: Trial, tmp_path: Path
) -> None:
    config = trial(*FP32)
    train(config, built[1], tmp_path)
    for quantity, values in curves(passed_around / "handed on").items():
        assert values == pytest.approx(curves(tmp_path)[quantity], rel=1e-4)
    one, other = (
        load_method(config, built[1], folder, torch.device("cpu")).state_dict()
        for folder in (tmp_path, passed_around / "handed on")
    )
    for name, weight in one.items():
        # The gradient of a bias that softmax cancels is rounding noise, which Adam blows up to full steps.
        if not name.endswith("k_norm.bias"):
            torch.testing.assert_close(other[name], weight, rtol=0, atol=1e-5, msg=name)


@pytest.mark.parametrize("engine", RESUMED)
def test_the_same_weights_are_exported_as_the_same_file(
    engine: str, passed_around: Path, built: Built, trial: Trial, tmp_path: Path
) -> None:
    train(trial(*FP32, "train.epochs=0"), built[1], tmp_path)
    for name in (MODEL_FILE, "encoder_frontal.safetensors", "encoder_lateral.safetensors"):
        assert sha256_file(passed_around / f"{engine} fresh" / name) == sha256_file(tmp_path / name)
