"""The same trial on one process and on two (real processes over gloo): same losses, same gradients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.config import TrialConfig
from core.data.store import StudyStore
from core.distributed import gather_rows
from core.telemetry import read_telemetry
from core.trainer import train
from tests.core.engines.ranks import on_two, train_there

Trial = Callable[..., TrialConfig]
Built = tuple[Path, StudyStore]


@pytest.mark.parametrize(
    "overrides",
    [
        ("method=mvmae", "pairing=same_study_any"),
        ("method=mvmae", "method.distance=infonce", "method.latent_head=true"),
        ("method=mvmae", "method.distance=vicreg", "pairing=random"),
        ("method=mvmae", "method.distance=infonce", "train.micro_batches=2"),
        ("method=mae",),
        ("method=supervised", "method.label_policy=ignore"),
    ],
    ids=["mse-any", "infonce", "vicreg-distance", "in-parts", "mae", "supervised"],
)
def test_two_processes_train_what_one_does(
    overrides: tuple[str, ...], built: Built, trial: Trial, tmp_path: Path
) -> None:
    overrides = (*overrides, "train.epochs=2", "optim.base_lr=1e-2")
    train(trial(*overrides), built[1], tmp_path / "one")
    on_two((train_there, (built[0], overrides, tmp_path / "two")))
    one, two = (read_telemetry(tmp_path / n / "telemetry.jsonl") for n in ("one", "two"))
    assert len(one) == len(two) > 0
    for name in ("loss", "gradient_norm"):
        assert [r[name] for r in two] == pytest.approx([r[name] for r in one], rel=1e-3)
    assert one[0]["loss"] != pytest.approx(one[-1]["loss"], rel=1e-2)


def gather_and_differentiate(folder: Path) -> None:
    from torch import distributed as dist

    dist.init_process_group("gloo")
    rank, counts = dist.get_rank(), (3, 1)
    everything = torch.arange(8.0).reshape(4, 2) + 1
    start = sum(counts[:rank])
    mine = everything[start : start + counts[rank]].clone().requires_grad_()
    gathered = gather_rows(mine, counts)
    weights = torch.arange(4.0)[:, None] + rank
    (gathered.square() * weights).sum().backward()
    torch.save({"gathered": gathered.detach(), "gradient": mine.grad}, folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_gather_brings_all_rows_and_sums_the_ranks_gradients(tmp_path: Path) -> None:
    on_two((gather_and_differentiate, (tmp_path,)))
    everything = torch.arange(8.0).reshape(4, 2) + 1
    expected = 2 * everything * (2 * torch.arange(4.0)[:, None] + 1)
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert all(torch.equal(part["gathered"], everything) for part in parts)
    torch.testing.assert_close(torch.cat([part["gradient"] for part in parts]), expected)
