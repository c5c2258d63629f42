"""Joint-embedding methods on one process and on two (real ones, DDP over gloo): same losses, same trained weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from core import distributed
from core.data.augment import augment
from core.data.build import prepare
from core.data.loader import Loader
from core.data.pairings.base import PAIRINGS
from core.data.store import StudyStore
from core.models.heads import BatchNorm, BatchNorm2d
from core.trainer import build_method, step_generator
from tests.core.conftest import small_trial
from tests.core.engines.ranks import on_two
from tests.core.methods.test_joint_embedding import JOINT
from tests.core.small import small_overrides

CPU = torch.device("cpu")
ROWS = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
WEIGHTS = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))


def three_steps(root: Path, name: str) -> dict[str, Any]:
    """Losses, first gradients and last weights of gradient descent, by DDP where there are several processes.

    same_study on data with single views: the ranks have unequal numbers of pairs. Adam would magnify rounding.
    """
    config = small_trial(root, (f"method={name}", "pairing=same_study", *small_overrides(name)))
    store, world = prepare(config.data, root), distributed.world_size()
    loader = Loader(
        store.splits["train"], PAIRINGS.build(config.pairing), config.loader,
        seed=0, batch_size=8, rank=distributed.rank(), world_size=world,
    )  # fmt: skip
    method = build_method(config, store, CPU)
    module = DistributedDataParallel(method, broadcast_buffers=False) if world > 1 else method
    optimiser, losses = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=1e-3), []
    gradients: dict[str, torch.Tensor] = {}
    for step in range(3):
        views = augment(loader.batch(step), config.augment, step_generator(CPU, 0, step, 0))
        loss = module(views, step, step_generator(CPU, 0, step, 1))["loss"]
        loss.backward()
        gradients = gradients or {n: p.grad.clone() for n, p in method.named_parameters() if p.grad is not None}
        optimiser.step()
        optimiser.zero_grad()
        losses.append(float(distributed.sum_over_ranks(loss.detach())) / world)
    return {"losses": losses, "gradients": gradients, "weights": method.state_dict()}


def save_three_steps(root: Path, folder: Path) -> None:
    dist.init_process_group("gloo")
    for name in JOINT:
        torch.save(three_steps(root, name), folder / f"{name}-{dist.get_rank()}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def saved(built: tuple[Path, StudyStore], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with what two processes found."""
    folder = tmp_path_factory.mktemp("two")
    on_two((save_three_steps, (built[0], folder)), (normalise_there, (folder,)))
    return folder


def test_two_processes_train_what_one_does(built: tuple[Path, StudyStore], saved: Path) -> None:
    for name in JOINT:
        here = three_steps(built[0], name)
        largest = max(float(g.norm()) for g in here["gradients"].values())
        for rank in (0, 1):
            there = torch.load(saved / f"{name}-{rank}.pt", weights_only=True)
            assert there["losses"] == pytest.approx(here["losses"], rel=1e-4), name
            for key, gradient in here["gradients"].items():
                error = float((there["gradients"][key] - gradient).norm())
                assert error < 1e-3 * float(gradient.norm()) + 1e-5 * largest, (name, key)
            torch.testing.assert_close(there["weights"], here["weights"], rtol=1e-3, atol=1e-5)


MAPS, MAP_WEIGHTS = torch.randn(2, 7, 3, 2, 4, generator=torch.Generator().manual_seed(2))


def normalise_there(folder: Path) -> None:
    """Five rows on one rank, two on the other: the outputs, their gradients and the running statistics."""
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    mine = slice(0, 5) if rank == 0 else slice(5, 7)
    rows, layer = ROWS[mine].clone().requires_grad_(), norm()
    out = layer(rows)
    (out.square() * WEIGHTS[mine]).sum().backward()
    none = layer(ROWS[:0] if rank else ROWS)
    maps = MAPS[mine].clone().requires_grad_()
    (BatchNorm2d(3)(maps).square() * MAP_WEIGHTS[mine]).sum().backward()
    state = {
        "maps": maps.grad,
        "out": out.detach(),
        "gradient": rows.grad,
        "bias": layer.bias.grad,
        "mean": layer.running_mean,
    }
    torch.save({**state, "none": none.detach()}, folder / f"{rank}.pt")
    dist.destroy_process_group()


def norm() -> BatchNorm:
    layer = BatchNorm(3)
    nn.init.constant_(layer.weight, 1.5)
    nn.init.constant_(layer.bias, 0.5)
    return layer


def test_batch_norm_is_over_the_rows_of_all_ranks(saved: Path) -> None:
    parts = [torch.load(saved / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    rows, layer = ROWS.clone().requires_grad_(), nn.BatchNorm1d(3)
    layer.load_state_dict(norm().state_dict())
    out = layer(rows)
    (out.square() * WEIGHTS).sum().backward()
    layer(ROWS)
    torch.testing.assert_close(torch.cat([p["out"] for p in parts]), out.detach())
    torch.testing.assert_close(torch.cat([p["gradient"] for p in parts]), rows.grad)
    torch.testing.assert_close(parts[0]["bias"] + parts[1]["bias"], layer.bias.grad)
    torch.testing.assert_close(parts[1]["mean"], layer.running_mean)
    assert parts[1]["none"].shape == (0, 3)


def test_batch_norm_of_maps_is_over_the_places_of_all_ranks(saved: Path) -> None:
    gradients = [torch.load(saved / f"{rank}.pt", weights_only=True)["maps"] for rank in (0, 1)]
    maps = MAPS.clone().requires_grad_()
    (nn.BatchNorm2d(3)(maps).square() * MAP_WEIGHTS).sum().backward()
    torch.testing.assert_close(torch.cat(gradients), maps.grad)
