"""The signs of collapse that are logged, against numpy and on embeddings that have collapsed or have not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.evaluation.kinds.rank import embedding_std
from core.losses.barlow_twins import barlow_twins_terms
from core.losses.byol import regression
from core.losses.spread import SAMPLE, spread


def rows(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def seen(x: Tensor) -> tuple[float, float]:
    found = spread(x, "x")
    return float(found["x_std"]), float(found["x_rank"])


def test_against_numpy() -> None:
    x = rows(50, 12) * torch.linspace(0.1, 2, 12) + 0.3
    unit = (x / x.norm(dim=1, keepdim=True)).double().numpy()
    values = np.linalg.eigvalsh(np.cov(unit.T, bias=True))
    std, rank = seen(x)
    assert std == pytest.approx(embedding_std(x.numpy()), rel=1e-4)
    assert rank == pytest.approx(values.sum() ** 2 / (values**2).sum(), rel=1e-4)


def test_a_sphere_is_healthy_a_point_and_a_line_are_not() -> None:
    std, rank = seen(rows(SAMPLE, 16))
    assert std == pytest.approx(1, abs=0.05)
    assert 13 < rank <= 16
    for point in (torch.ones(64, 16), torch.zeros(64, 16), torch.ones(64, 16) + 1e-5 * rows(64, 16)):
        std, rank = seen(point)
        assert std < 1e-3
        assert rank < 0.01
    std, rank = seen(rows(64, 1) * torch.ones(16) + 1e-3 * rows(64, 16))
    assert std > 0.5
    assert rank == pytest.approx(1, abs=0.01)


def test_only_a_sample_is_looked_at_and_too_few_rows_are_undefined() -> None:
    x = rows(SAMPLE, 4)
    assert seen(torch.cat([x, torch.ones(50, 4)])) == seen(x)
    assert all(np.isnan(seen(x[:n])).all() for n in (0, 1))


def train(loss: str) -> tuple[float, float]:
    """A small network trained to embed noisy copies of vectors alike; how far its embeddings spread."""
    torch.manual_seed(0)
    data, net = rows(64, 8), nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16))
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for step in range(200):
        x, y = (net(data + 0.3 * rows(64, 8, 2 * step + side)) for side in (1, 2))
        if loss == "barlow_twins":
            terms = barlow_twins_terms(x, y)
            value = terms["invariance"] + 0.005 * terms["redundancy"]
        else:
            value = regression(x, y, (64,)) + regression(y, x, (64,))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    return seen(net(data).detach())


def test_byol_without_its_predictor_and_momentum_network_is_seen_to_collapse_and_barlow_twins_not_to() -> None:
    assert train("regression")[0] < 0.1
    healthy = train("barlow_twins")
    assert healthy[0] > 0.7
    assert healthy[1] > 4
