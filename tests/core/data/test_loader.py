"""The loader against its definition: what each batch holds, computed study by study in plain Python."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.config import LoaderConfig
from core.data.loader import Loader, make_loader
from core.data.pairings.base import PAIRINGS, Pairing
from core.data.readahead import read_ahead
from core.data.store import StudyTable
from core.data.types import Bytes, Ints
from core.errors import ConfigError
from core.methods.base import ViewBatch
from tests.core.data.tables import make_table, random_table


def pairing(name: str, **settings: object) -> Pairing:
    entry = PAIRINGS.get(name)
    built: Pairing = entry.build(entry.config(**settings))  # type: ignore[call-arg]
    return built


def loader(table: StudyTable, name: str = "same_study", workers: int = 0, **settings: object) -> Loader:
    arguments = {"seed": 5, "batch_size": 16, **settings}
    return Loader(table, pairing(name), LoaderConfig(workers=workers), **arguments)  # type: ignore[arg-type]


def equal(one: ViewBatch, two: ViewBatch) -> bool:
    return all(
        torch.equal(torch.nan_to_num(torch.as_tensor(a), 9), torch.nan_to_num(torch.as_tensor(b), 9))
        for a, b in zip(vars(one).values(), vars(two).values(), strict=True)
    )


@pytest.mark.parametrize("name", PAIRINGS.names())
def test_a_batch_holds_the_drawn_images_in_order(name: str) -> None:
    table = random_table(1)
    table = replace(table, labels=np.random.default_rng(0).normal(size=table.labels.shape).astype(np.float32))
    labelled = np.arange(table.n_studies) % 3 == 0
    batches = loader(table, name, labelled=labelled)
    pairs = batches.pairs(0)
    row_of = {int(study): row for row, study in enumerate(pairs.anchor)}
    slots = pairs.images.shape[1]
    for batch in batches.batches(0, batches.steps_per_epoch):
        assert batch.images.dtype == torch.uint8
        images, expected_pairs, slot, study = [], [], [], []
        for place, anchor in enumerate(batch.index.tolist()):
            row = row_of[anchor]
            present = [(m, image) for m, image in enumerate(pairs.images[row].tolist()) if image >= 0]
            first = len(images)
            images += [image for _, image in present]
            slot += [place * slots + m for m, _ in present]
            study += [place] * len(present)
            if pairs.aligned[row]:
                expected_pairs += [
                    [first + i, first + j] for i in range(len(present)) for j in range(i + 1, len(present))
                ]
        # ConstantPixels: every pixel of image row r is r modulo 256.
        assert batch.images[:, 0, 0, 0].tolist() == [image % 256 for image in images]
        assert batch.images.shape == (len(images), 1, 4, 4)
        assert batch.view.tolist() == table.view[images].tolist()
        assert batch.study.tolist() == study
        assert batch.slot.tolist() == slot
        assert batch.slots == 16 * slots
        assert batch.pairs.tolist() == expected_pairs
        assert batch.pairs.shape == (len(expected_pairs), 2)
        assert batch.images_per_rank == (len(images),)
        assert batch.pairs_per_rank == (len(expected_pairs),)
        np.testing.assert_array_equal(batch.labels, table.labels[batch.index])
        np.testing.assert_array_equal(batch.labelled, labelled[batch.index])


def test_an_epoch_shows_each_study_at_most_once_and_nearly_all() -> None:
    table = random_table(2)
    batches = loader(table)
    for epoch in range(3):
        first = epoch * batches.steps_per_epoch
        seen = [i for b in batches.batches(first, first + batches.steps_per_epoch) for i in b.index.tolist()]
        assert len(seen) == len(set(seen)) == table.n_studies // 16 * 16


def test_batches_depend_on_seed_epoch_and_step_alone() -> None:
    table = random_table(3)
    last = 3 * loader(table).steps_per_epoch
    plain = list(loader(table).batches(0, last))
    for workers in (1, 3):
        assert all(map(equal, plain, loader(table, workers=workers).batches(0, last)))
    # A run that resumes anywhere, in a fresh process, goes on with the very batches.
    for start in (1, last // 2, last - 1):
        assert all(map(equal, plain[start:], loader(table, workers=2).batches(start, last)))
    assert not equal(plain[0], next(iter(loader(table, seed=6).batches(0, 1))))
    draws = [loader(table).pairs(epoch).images for epoch in range(2)]
    assert not np.array_equal(*draws)
    per_epoch = last // 3
    assert plain[0].index.tolist() != plain[per_epoch].index.tolist()


@pytest.mark.parametrize("name", ["same_study", "same_study_any"])
def test_ranks_hold_contiguous_slices_of_the_global_batch(name: str) -> None:
    table = random_table(4)
    whole = loader(table, name)
    ranks = [loader(table, name, rank=rank, world_size=4) for rank in range(4)]
    steps = whole.steps_per_epoch
    for batch, *parts in zip(whole.batches(0, steps), *(r.batches(0, steps) for r in ranks), strict=True):
        assert torch.equal(batch.index, torch.cat([part.index for part in parts]))
        assert torch.equal(batch.images, torch.cat([part.images for part in parts]))
        assert torch.equal(batch.slot, torch.cat([part.slot for part in parts]))
        assert {part.slots for part in parts} == {batch.slots}
        counts = tuple(len(part.images) for part in parts)
        pairs = tuple(len(part.pairs) for part in parts)
        assert all(part.images_per_rank == counts and part.pairs_per_rank == pairs for part in parts)
        assert sum(counts) == batch.images_per_rank[0]


def test_the_order_of_studies_is_the_same_under_pairings_that_keep_all() -> None:
    table = random_table(5)
    orders = {
        name: [b.index.tolist() for b in loader(table, name).batches(0, 4)] for name in ("same_study", "random", "none")
    }
    assert orders["same_study"] == orders["random"] == orders["none"]


def test_a_batch_larger_than_the_table_shrinks() -> None:
    table = make_table([("a", "fl"), ("b", "f"), ("c", "l")])
    batches = loader(table, batch_size=64)
    assert batches.steps_per_epoch == 1
    assert sorted(next(iter(batches.batches(0, 1))).index.tolist()) == [0, 1, 2]


def test_impossible_divisions_are_refused() -> None:
    table = make_table([("a", "fl"), ("b", "f"), ("c", "l")])
    with pytest.raises(ConfigError, match=r"train.batch_size=16 cannot be divided equally among 3"):
        loader(table, world_size=3)
    with pytest.raises(ConfigError, match=r"3 studies are too few for 4 processes"):
        loader(table, world_size=4)
    with pytest.raises(ConfigError, match=r"leaves no study"):
        Loader(
            make_table([("a", "f"), ("b", "f")]),
            pairing("same_study", unpaired="drop"),
            LoaderConfig(),
            seed=0,
            batch_size=2,
        )


def test_pair_counts_are_those_of_the_batches() -> None:
    table = random_table(6)
    for name in PAIRINGS.names():
        batches = loader(table, name)
        formed = sum(len(b.pairs) for b in batches.batches(0, batches.steps_per_epoch))
        counts = batches.pair_counts(0)
        single = {k: v for k, v in counts.items() if k in ("single view", "two views, not paired")}
        assert sum(counts.values()) - sum(single.values()) == formed
    assert set(loader(table).pair_counts(0)) == {"frontal-lateral, same study", "single view"}


def test_read_ahead_raises_an_error_where_its_item_would_have_come() -> None:
    def make(step: int) -> int:
        if step == 3:
            raise KeyError("broken")
        return step

    ahead = read_ahead(make, 0, 10, workers=3, prefetch=5)
    assert [next(ahead) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="broken"):
        next(ahead)
    assert not loader_threads()


def loader_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("loader")]


def test_read_ahead_stops_its_threads_and_never_runs_far_ahead() -> None:
    made: list[int] = []

    def make(step: int) -> int:
        made.append(step)
        return step

    ahead: Iterator[int] = read_ahead(make, 0, 1000, workers=2, prefetch=4)
    assert [next(ahead) for _ in range(10)] == list(range(10))
    time.sleep(0.05)
    assert max(made) <= 9 + 4
    assert loader_threads()
    ahead.close()  # type: ignore[attr-defined]
    assert not loader_threads()


def test_reading_ahead_overlaps_slow_reads() -> None:
    started, together = threading.Barrier(3, timeout=10), []

    def make(step: int) -> int:
        # Passes only when three threads are inside at once.
        together.append(started.wait())
        return step

    assert list(read_ahead(make, 0, 6, workers=3, prefetch=3)) == list(range(6))


def test_only_the_last_two_draws_are_held_in_memory() -> None:
    batches = loader(random_table(9), workers=2)
    list(batches.batches(0, 6 * batches.steps_per_epoch))
    assert len(batches._epochs) <= 2


def test_counts_are_by_kind() -> None:
    table = make_table([("a", "ffl"), ("b", "f"), ("c", "fl")])
    counts = loader(table, "same_study_any", batch_size=3).pair_counts(0)
    assert counts == Counter(
        {"frontal-frontal-lateral, same study": 3, "frontal-lateral, same study": 1, "single view": 1}
    )


def test_make_loader_picks_the_backend_and_streaming_needs_shards() -> None:
    table = random_table(7)
    made = make_loader(table, pairing("random"), LoaderConfig(), seed=0, batch_size=8)
    assert type(made) is Loader
    with pytest.raises(ConfigError, match=r"needs a data set that lies in shards"):
        make_loader(table, pairing("same_study"), LoaderConfig(backend="webdataset"), seed=0, batch_size=8)


class SlowPixels:
    def read(self, rows: Ints) -> Bytes:
        raise OSError(5, "Input/output error")


def test_an_error_of_a_reading_thread_reaches_the_caller() -> None:
    table = replace(random_table(8), pixels=SlowPixels())
    with pytest.raises(OSError, match="Input/output error"):
        next(iter(loader(table, workers=2).batches(0, 3)))
    assert not loader_threads()


def test_where_cuda_is_used_every_thread_sets_the_device_and_batches_are_pinned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    devices: list[tuple[str, int]] = []
    pinned_tensors: list[torch.Tensor] = []

    def pin_memory(tensor: torch.Tensor) -> torch.Tensor:
        pinned_tensors.append(tensor)
        return tensor

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch.cuda, "set_device", lambda d: devices.append((threading.current_thread().name, d)))
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    batches = loader(random_table(1), workers=2)
    assert len(list(batches.batches(0, 4))) == 4
    assert {device for _, device in devices} == {3}
    assert all(name.startswith("loader") for name, _ in devices)
    assert len(pinned_tensors) == 4 * 9  # the tensors of a ViewBatch


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_pinned_batches_reach_the_device_unchanged() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    torch.zeros(1, device=device)
    table = random_table(1)
    for batch, plain in zip(loader(table, workers=2).batches(0, 4), loader(table).batches(0, 4), strict=True):
        assert batch.images.is_pinned()
        assert torch.equal(batch.to(device).images.cpu(), plain.images)
