"""The alignment term against loops written from the formulae in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from core.losses.alignment import DISTANCES, alignment, cosine, infonce, mse, vicreg
from core.methods.base import ViewBatch
from tests.core.batches import make_batch

MIXED = [2, 1, 3, 2, 1, 2]


def vectors(batch: ViewBatch, width: int = 5) -> Tensor:
    return torch.randn(len(batch.images), width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def unit(row: Tensor) -> list[float]:
    norm = math.sqrt(sum(float(x) ** 2 for x in row))
    return [float(x) / norm for x in row]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_mse_is_the_mean_over_ordered_pairs_of_two_minus_two_cosines() -> None:
    batch = make_batch(MIXED)
    u = vectors(batch)
    distances = [
        2 - 2 * dot(unit(u[i]), unit(u[j]))
        for i in range(len(u))
        for j in range(len(u))
        if i != j and batch.study[i] == batch.study[j]
    ]
    expected = sum(distances) / len(distances)
    assert float(mse(u, batch, "sum")) == pytest.approx(expected, rel=1e-6)
    assert float(mse(u, batch, "mean")) == pytest.approx(expected / u.shape[1], rel=1e-6)


def test_cosine_is_minus_the_mean_cosine() -> None:
    batch = make_batch(MIXED)
    u = vectors(batch)
    values = [-dot(unit(u[i]), unit(u[j])) for i, j in batch.pairs.tolist()]
    assert float(cosine(u, batch)) == pytest.approx(sum(values) / len(values), rel=1e-6)


def test_infonce_against_a_loop_with_other_studies_as_negatives() -> None:
    batch, temperature = make_batch(MIXED), 0.5
    u = vectors(batch)
    units = [unit(row) for row in u]
    losses = []
    for i in range(len(u)):
        for j in range(len(u)):
            if i == j or batch.study[i] != batch.study[j]:
                continue
            positive = math.exp(dot(units[i], units[j]) / temperature)
            negatives = [
                math.exp(dot(units[i], units[k]) / temperature)
                for k in range(len(u))
                if batch.study[k] != batch.study[i]
            ]
            losses.append(-math.log(positive / (positive + sum(negatives))))
    assert float(infonce(u, batch, temperature)) == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_mix_is_a_third_of_each() -> None:
    batch = make_batch(MIXED)
    u = vectors(batch)
    third = (mse(u, batch, "sum") + cosine(u, batch) + infonce(u, batch, 0.5)) / 3
    assert float(alignment("mix", u, batch, "sum", 0.5)) == pytest.approx(float(third), rel=1e-6)


def test_vicreg_takes_the_two_views_as_branches() -> None:
    batch = make_batch(MIXED)
    u = vectors(batch)
    x, y = u[batch.pairs[:, 0]], u[batch.pairs[:, 1]]
    n, d = x.shape
    invariance = sum(float((x[i, j] - y[i, j]) ** 2) for i in range(n) for j in range(d)) / (n * d)
    variance, covariance = 0.0, 0.0
    for branch in (x, y):
        mean = [sum(float(branch[i, j]) for i in range(n)) / n for j in range(d)]
        cov = [
            [sum((float(branch[i, a]) - mean[a]) * (float(branch[i, b]) - mean[b]) for i in range(n)) / (n - 1)
             for b in range(d)] for a in range(d)
        ]  # fmt: skip
        variance += sum(max(0.0, 1 - math.sqrt(cov[j][j] + 1e-4)) for j in range(d)) / d / 2
        covariance += sum(cov[a][b] ** 2 for a in range(d) for b in range(d) if a != b) / d
    assert float(vicreg(u, batch)) == pytest.approx(25 * invariance + 25 * variance + covariance, rel=1e-5)


@pytest.mark.parametrize("distance", DISTANCES)
def test_no_pairs_give_zero_and_a_gradient_of_zero(distance: str) -> None:
    batch = make_batch([1, 1, 1])
    u = vectors(batch).requires_grad_()
    value = alignment(distance, u, batch, "sum", 0.5)
    value.backward()
    assert value.item() == 0
    assert u.grad is not None
    assert torch.equal(u.grad, torch.zeros_like(u.grad))


@pytest.mark.parametrize("distance", DISTANCES)
def test_gradient_agrees_with_finite_differences(distance: str) -> None:
    batch = make_batch([2, 1, 2, 2])
    u = vectors(batch, 3).float().requires_grad_()
    alignment(distance, u, batch, "sum", 0.5).backward()
    assert u.grad is not None
    step = 1e-2
    for i, j in ((0, 0), (2, 1), (5, 2)):
        shifted = []
        for sign in (1, -1):
            moved = u.detach().clone()
            moved[i, j] += sign * step
            shifted.append(float(alignment(distance, moved, batch, "sum", 0.5)))
        assert float(u.grad[i, j]) == pytest.approx((shifted[0] - shifted[1]) / (2 * step), abs=2e-2, rel=2e-2)


def test_an_absent_view_does_not_change_what_the_others_say() -> None:
    whole, u = make_batch([2, 2]), vectors(make_batch([2, 2]))
    alone = make_batch([2, 2, 1])
    longer = torch.cat([u, torch.randn(1, u.shape[1], dtype=u.dtype)])
    assert float(mse(u, whole, "sum")) == pytest.approx(float(mse(longer, alone, "sum")), rel=1e-9)
