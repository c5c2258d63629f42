"""A batch in parts: every study once, the same parts for any number of processes, the whole batch's gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core import distributed
from core.config import LoaderConfig, OptimConfig, TrainConfig
from core.data.loader import Loader
from core.data.pairings.base import PAIRINGS
from core.engines.accumulation import parts
from core.engines.ddp_engine import DDPEngine, DDPEngineConfig
from core.errors import ConfigError
from core.methods.base import METHODS, ViewBatch
from tests.core.batches import make_batch, make_context
from tests.core.data.tables import random_table

UNEVEN = [1, 3, 2, 1, 2, 3, 1, 1]


def split(batch: ViewBatch, count: int) -> list[ViewBatch]:
    return [part for part, _ in parts(batch, count, torch.Generator())]


@pytest.mark.parametrize("count", [2, 4, 8])
def test_a_part_is_what_a_loop_over_studies_picks(count: int) -> None:
    batch = make_batch(UNEVEN)
    for number, part in enumerate(split(batch, count)):
        studies = range(number, len(UNEVEN), count)
        images = [i for i, s in enumerate(batch.study.tolist()) if s in studies]
        pairs = [p for p in batch.pairs.tolist() if int(batch.study[p[0]]) in studies]
        assert part.index.tolist() == list(studies)
        assert torch.equal(part.images, batch.images[images])
        assert torch.equal(part.slot, batch.slot[images])
        assert torch.equal(part.labels, batch.labels[list(studies)])
        assert part.index[part.study].tolist() == batch.study[images].tolist()
        assert [[images[i], images[j]] for i, j in part.pairs.tolist()] == pairs
        assert (part.images_per_rank, part.pairs_per_rank) == ((len(images),), (len(pairs),))


def test_a_part_is_the_same_studies_on_one_process_and_on_four(monkeypatch: pytest.MonkeyPatch) -> None:
    entry, table = PAIRINGS.get("same_study"), random_table(3)

    def batch(rank: int, world: int) -> ViewBatch:
        pairing = entry.build(entry.config())
        return Loader(
            table, pairing, LoaderConfig(), seed=1, batch_size=16, rank=rank, world_size=world
        ).batch(0)  # fmt: skip

    whole = split(batch(0, 1), 2)
    ranks = []
    for rank in range(4):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        ranks.append(split(batch(rank, 4), 2))
    for number in range(2):
        mine = [rank[number] for rank in ranks]
        for name in ("index", "images", "slot", "view"):
            together = torch.cat([getattr(part, name) for part in mine])
            assert torch.equal(together, getattr(whole[number], name))
        counts = tuple(len(part.images) for part in mine)
        assert all(part.images_per_rank == counts for part in mine)


def gradients(method: str, views: list[int], micro_batches: int) -> tuple[dict[str, torch.Tensor], float]:
    """The gradient of one step, from Adam's first moment, and the reported loss."""
    torch.manual_seed(0)
    engine = DDPEngine(DDPEngineConfig(), torch.device("cpu"))
    built = METHODS.build(METHODS.get(method).config(), make_context())
    engine.prepare(built, OptimConfig(clip=0.0), TrainConfig(precision="fp32", micro_batches=micro_batches))
    losses = engine.step(make_batch(views), 0, 1e-3, torch.Generator().manual_seed(0))
    moments = engine.state_dict()["optimiser"]
    return {name: entry["exp_avg"] / 0.1 for name, entry in moments.items()}, float(losses["loss"])


@pytest.mark.parametrize("micro_batches", [2, 4])
@pytest.mark.parametrize(
    ("method", "views"), [("mae", UNEVEN), ("mvmae", [2] * 8), ("supervised", [2] * 8)], ids=["mae", "mse", "labels"]
)
def test_means_over_images_have_the_whole_batchs_gradient(method: str, views: list[int], micro_batches: int) -> None:
    whole, loss = gradients(method, views, 1)
    cut, summed = gradients(method, views, micro_batches)
    assert summed == pytest.approx(loss, rel=1e-5)
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, rtol=1e-3, atol=1e-6)
    assert np.mean([float(g.abs().max()) for g in whole.values()]) > 1e-4


def test_what_cannot_be_cut_equally_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.micro_batches=3 does not divide train\.batch_size=64"):
        TrainConfig(micro_batches=3)
    with pytest.raises(ConfigError, match="does not divide the 7 studies"):
        split(make_batch([2] * 7), 2)
