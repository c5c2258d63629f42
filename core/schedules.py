"""Schedules as plain functions of the step: learning rate and alignment weight."""

from __future__ import annotations

import math

SCHEDULES = ("constant", "linear", "cosine", "exponential", "sigmoid")

# Curvature of the exponential schedule: it has risen to 1 / (1 + e^(5/2)) = 7.6 % half way.
_EXPONENT = 5.0


def ramp(shape: str, progress: float, epochs: float, steepness: float) -> float:
    """Share in [0, 1] of the way from a schedule's start value to its end value.

    progress: in [0, 1] between the end of warm-up and the end of training. epochs: epochs since the end of
    warm-up. steepness: of the sigmoid, per epoch; it starts at 0 and approaches 1 (2 sigmoid(k e) - 1).
    """
    shapes = {
        "constant": lambda: 1.0,
        "linear": lambda: progress,
        "cosine": lambda: (1 - math.cos(math.pi * progress)) / 2,
        "exponential": lambda: math.expm1(_EXPONENT * progress) / math.expm1(_EXPONENT),
        "sigmoid": lambda: math.tanh(steepness * epochs / 2),
    }
    return shapes[shape]()


def scheduled(
    shape: str, start: float, end: float, step: int, warmup: float, total: int, per_epoch: int, steepness: float
) -> float:
    """Value of a schedule at `step` of `total`: `start` until `warmup` steps are over, then towards `end`.

    A constant schedule has the value `end` from the first step.
    """
    since = max(0.0, step - warmup)
    progress = min(1.0, since / max(1.0, total - 1 - warmup))
    return start + (end - start) * ramp(shape, progress, since / max(1, per_epoch), steepness)


def weight_decay(start: float, end: float, step: int, total: int) -> float:
    """Half a cosine from `start` at the first of `total` steps to `end` at the last (Caron et al. 2021, code)."""
    return scheduled("cosine", start, end, step, 0, total, 1, 0.0)


def learning_rate(peak: float, step: int, warmup: float, total: int, final_fraction: float) -> float:
    """Linear warm-up to `peak` over `warmup` steps, then half a cosine down to `final_fraction` * peak."""
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1.0, total - warmup))
    return peak * (final_fraction + (1 - final_fraction) * (1 + math.cos(math.pi * progress)) / 2)
