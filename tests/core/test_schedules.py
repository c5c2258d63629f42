"""Schedules at their start, middle and end."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from core.config import TrialConfig
from core.data.store import StudyStore
from core.errors import ConfigError
from core.identity import trial_id
from core.methods.mvmae import MVMAE, MVMAEConfig
from core.schedules import SCHEDULES, learning_rate, scheduled, weight_decay
from core.trainer import Run
from tests.core.batches import make_batch, make_context

TOTAL, WARMUP, PER_EPOCH = 1001, 100, 10


def at(shape: str, step: int, start: float = 0.5, end: float = 2.0) -> float:
    return scheduled(shape, start, end, step, WARMUP, TOTAL, PER_EPOCH, 0.02)


@pytest.mark.parametrize("shape", [s for s in SCHEDULES if s != "constant"])
def test_a_schedule_stays_at_its_start_until_warm_up_is_over_and_never_falls(shape: str) -> None:
    assert at(shape, 0) == at(shape, WARMUP) == 0.5
    values = [at(shape, step) for step in range(TOTAL)]
    assert all(a <= b for a, b in pairwise(values))


def test_constant_has_its_value_at_once() -> None:
    assert at("constant", 0) == at("constant", TOTAL - 1) == 2.0


@pytest.mark.parametrize(
    ("shape", "middle"),
    [("linear", 0.5), ("cosine", 0.5), ("exponential", 1 / (1 + math.exp(2.5))),
     ("sigmoid", 2 / (1 + math.exp(-0.02 * 45)) - 1)],
)  # fmt: skip
def test_middle(shape: str, middle: float) -> None:
    assert at(shape, 550) == pytest.approx(0.5 + 1.5 * middle)


@pytest.mark.parametrize(("shape", "end"), [("linear", 1.0), ("cosine", 1.0), ("exponential", 1.0),
                                            ("sigmoid", 2 / (1 + math.exp(-0.02 * 90)) - 1)])  # fmt: skip
def test_end(shape: str, end: float) -> None:
    assert at(shape, TOTAL - 1) == pytest.approx(0.5 + 1.5 * end)


@pytest.mark.parametrize(
    ("schedule", "middle", "end"),
    [
        ("constant", 2.0, 2.0),
        ("linear", 1.0, 2.0),
        ("cosine", 1.0, 2.0),
        ("exponential", 2 / (1 + math.exp(2.5)), 2.0),
        ("sigmoid", 4 / (1 + math.exp(-0.02 * 4.5)) - 2, 4 / (1 + math.exp(-0.02 * 9)) - 2),
    ],
)
def test_beta_weighs_the_alignment_from_its_start_through_its_middle_to_its_end(
    schedule: str, middle: float, end: float
) -> None:
    """101 steps, 10 an epoch, the first epoch being warm-up: the middle is step 55."""
    torch.manual_seed(0)
    config = MVMAEConfig(weight=2.0, schedule=schedule, schedule_warmup_epochs=1.0)
    method, batch = MVMAE(config, make_context(total_steps=101)), make_batch([2, 2, 1])
    start = 2.0 if schedule == "constant" else 0.0
    for step, beta in ((0, start), (10, start), (55, middle), (100, end)):
        found = method(batch, step, torch.Generator().manual_seed(0))
        expected = found["reconstruction"] + beta * found["alignment"]
        torch.testing.assert_close(found["loss"], expected, rtol=1e-5, atol=1e-6)


def groups_at_each_step(config: TrialConfig, store: StudyStore, folder: Path) -> tuple[list[list[Any]], Any, Run]:
    """Of each step of a run: (rate, weight decay) of the optimiser's groups. The optimiser, and the run, ended."""
    run, seen = Run(config, store, folder), []
    optimiser = run.engine._optimiser  # type: ignore[attr-defined]
    real = optimiser.step

    def step() -> None:
        seen.append([(g["lr"], g["weight_decay"]) for g in optimiser.param_groups])
        real()

    optimiser.step = step
    run.loop(None, lambda: False)
    run.engine.close()
    return seen, optimiser, run


def test_the_optimiser_gets_rate_and_weight_decay_at_the_start_the_middle_and_the_end(
    built: tuple[Path, StudyStore], trial: Callable[..., TrialConfig], tmp_path: Path
) -> None:
    """The rate warms up for an epoch, then falls to 10 %; the weight decay stays, for matrices alone."""
    config = trial("train.epochs=5", "optim.base_lr=3.2e-2", "optim.warmup_epochs=1", "optim.final_lr_fraction=0.1")
    seen, optimiser, run = groups_at_each_step(config, built[1], tmp_path)
    epoch, peak = run.plan.per_epoch, 3.2e-2 * 8 / 256
    assert len(seen) == 5 * epoch
    expected = {
        0: peak / (epoch + 1),
        epoch: peak,
        3 * epoch: peak * 0.55,
        5 * epoch - 1: peak * (0.1 + 0.9 * (1 + math.cos(math.pi * (4 * epoch - 1) / (4 * epoch))) / 2),
    }
    for number, rate in expected.items():
        assert [lr for lr, _ in seen[number]] == pytest.approx([rate] * 2)
        assert [decay for _, decay in seen[number]] == [0.05, 0.0]
    assert all(p.ndim >= 2 for p in optimiser.param_groups[0]["params"])


def test_the_weight_decay_moves_along_half_a_cosine_for_matrices_alone(
    built: tuple[Path, StudyStore], trial: Callable[..., TrialConfig], tmp_path: Path
) -> None:
    config = trial("train.epochs=3", "optim.weight_decay=0.04", "optim.final_weight_decay=0.4")
    seen, _, _ = groups_at_each_step(config, built[1], tmp_path)
    decays = [[decay for _, decay in groups] for groups in seen]
    last = len(seen) - 1
    assert decays[0] == [0.04, 0.0]
    assert decays[last] == pytest.approx([0.4, 0.0])
    quarter = 0.04 + 0.36 * (1 - math.cos(math.pi * (last // 4) / last)) / 2
    assert decays[last // 4] == pytest.approx([quarter, 0.0])
    assert weight_decay(0.04, 0.4, 50, 101) == pytest.approx(0.22)


def test_a_weight_decay_that_moves_makes_another_trial(trial: Callable[..., TrialConfig]) -> None:
    assert trial_id(trial()) == trial_id(trial("optim.final_weight_decay=null"))
    assert trial_id(trial()) != trial_id(trial("optim.final_weight_decay=0.4"))
    with pytest.raises(ConfigError, match=r"optim\.weight_decay"):
        trial("optim.weight_decay=0", "optim.final_weight_decay=0.4")


def test_learning_rate_warms_up_linearly_then_falls_as_half_a_cosine() -> None:
    rates = [learning_rate(1.0, step, 10, 110, 0.1) for step in range(111)]
    assert rates[0] == pytest.approx(1 / 11)
    assert rates[4] == pytest.approx(5 / 11)
    assert rates[10] == 1.0
    assert rates[60] == pytest.approx(0.1 + 0.9 * 0.5)
    assert rates[110] == pytest.approx(0.1)
