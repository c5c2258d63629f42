"""Schedules at their start, middle and end."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from core.schedules import SCHEDULES, learning_rate, scheduled

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


def test_learning_rate_warms_up_linearly_then_falls_as_half_a_cosine() -> None:
    rates = [learning_rate(1.0, step, 10, 110, 0.1) for step in range(111)]
    assert rates[0] == pytest.approx(1 / 11)
    assert rates[4] == pytest.approx(5 / 11)
    assert rates[10] == 1.0
    assert rates[60] == pytest.approx(0.1 + 0.9 * 0.5)
    assert rates[110] == pytest.approx(0.1)
