"""The plain engine: precision, optimisers, parameter groups, and what it does with a step that is not finite."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from core.config import OptimConfig, TrainConfig
from core.engines.ddp_engine import DDPEngine, DDPEngineConfig
from core.engines.optimisers import parameter_groups
from core.methods.mvmae import MVMAE, MVMAEConfig
from tests.core.batches import make_batch, make_context

LARS = OptimConfig(name="lars", weight_decay=1e-6, clip=0.0)


def engine(optim: OptimConfig | None = None, precision: str = "fp32") -> DDPEngine:
    torch.manual_seed(0)
    built = DDPEngine(DDPEngineConfig(), torch.device("cpu"))
    built.prepare(MVMAE(MVMAEConfig(), make_context()), optim or OptimConfig(), TrainConfig(precision=precision))
    return built


def run(built: DDPEngine, steps: int, lr: float) -> list[float]:
    batch = make_batch([2] * 6)
    return [float(built.step(batch, i, lr, torch.Generator().manual_seed(0))["loss"]) for i in range(steps)]


def test_bf16_keeps_fp32_weights_and_follows_fp32() -> None:
    exact, rounded = engine(), engine(precision="bf16")
    losses = run(exact, 8, 3e-3), run(rounded, 8, 3e-3)
    assert losses[1] == pytest.approx(losses[0], rel=0.03)
    assert losses[1] != losses[0]
    assert {p.dtype for p in rounded.weights().values()} == {torch.float32}


def test_lars_learns_and_differs_from_adamw() -> None:
    losses = run(engine(LARS), 30, 1.0)
    assert losses[-1] < 0.9 * losses[0]
    assert run(engine(), 30, 1e-3) != losses


@pytest.mark.parametrize("optim", [OptimConfig(), LARS], ids=["adamw", "lars"])
def test_from_a_bad_step_on_the_weights_stay_finite(optim: OptimConfig) -> None:
    built, batch = engine(optim), make_batch([2] * 6)
    run(built, 2, 1e-3)
    assert built.first_bad_step() == -1
    bad = replace(batch, images=batch.images * float("inf"))
    built.step(bad, 7, 1e-3, torch.Generator().manual_seed(0))
    built.step(batch, 8, 1e-3, torch.Generator().manual_seed(0))
    assert built.first_bad_step() == 7
    assert all(torch.isfinite(p).all() for p in built.weights().values())


def test_biases_norms_positions_and_tokens_do_not_decay() -> None:
    method = MVMAE(MVMAEConfig(), make_context())
    decayed, free = parameter_groups(method, OptimConfig(weight_decay=0.05))
    names = {id(p): n for n, p in method.named_parameters()}
    assert decayed["weight_decay"] == 0.05
    assert free["weight_decay"] == 0.0
    kept = {names[id(p)] for p in free["params"]}  # type: ignore[attr-defined]
    assert {"encoder.cls_token", "encoder.pos_embed", "encoder.view_embed", "decoder.mask_token"} <= kept
    assert all(n in kept for n in names.values() if n.endswith("bias") or "norm" in n)
    assert len(kept) + len(decayed["params"]) == len(names)  # type: ignore[arg-type]
    assert len(parameter_groups(method, OptimConfig(decay_norms=True))) == 1
