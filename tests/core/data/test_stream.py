"""The streaming loader against the memory-mapped one, on the same shards."""

from __future__ import annotations

import gc
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from core.config import LoaderConfig
from core.data.loader import Batches, make_loader
from core.data.store import StudyTable, open_store
from core.errors import ConfigError, DataError
from core.methods.base import ViewBatch
from tests.core.data.test_loader import equal, loader_threads, pairing

STREAMED = ("same_study", "same_study_any", "same_view_augmented", "none")


def stream(table: StudyTable, name: str = "same_study", workers: int = 1, **settings: object) -> Batches:
    arguments = {"seed": 5, "batch_size": 1, **settings}
    config = LoaderConfig(backend=str(arguments.pop("backend", "webdataset")), workers=workers)
    return make_loader(table, pairing(name), config, **arguments)  # type: ignore[arg-type]


def pictures(batches: list[ViewBatch]) -> Counter[tuple[int, ...]]:
    """How often each (study, slot, view, pixels) is shown, whatever the order."""
    shown: Counter[tuple[int, ...]] = Counter()
    for batch in batches:
        for image, study, view in zip(batch.images, batch.study, batch.view, strict=True):
            shown[(int(batch.index[study]), int(view), hash(image.numpy().tobytes()))] += 1
        shown["pairs"] += len(batch.pairs)  # type: ignore[index]
    return shown


@pytest.mark.parametrize("name", STREAMED)
def test_an_epoch_shows_what_the_memory_map_shows(pristine: Path, name: str) -> None:
    table = open_store(pristine).splits["train"]
    streamed, mapped = stream(table, name), stream(table, name, backend="mmap")
    assert streamed.steps_per_epoch == mapped.steps_per_epoch == table.n_studies
    for epoch in range(2):
        steps = epoch * table.n_studies, (epoch + 1) * table.n_studies
        ours, theirs = list(streamed.batches(*steps)), list(mapped.batches(*steps))
        assert pictures(ours) == pictures(theirs)
        assert [b.index.tolist() for b in ours] != [b.index.tolist() for b in theirs]
        assert sorted(i for b in ours for i in b.index.tolist()) == list(range(table.n_studies))
    assert streamed.pair_counts(0) == mapped.pair_counts(0)


def test_batches_are_packed_alike_and_resume_anywhere(pristine: Path) -> None:
    table = open_store(pristine).splits["train"]
    streamed = stream(table, batch_size=8)
    last = 3 * streamed.steps_per_epoch
    plain = list(streamed.batches(0, last))
    for start in (1, last // 2, last - 1):
        for workers in (0, 2):
            again = list(stream(table, batch_size=8, workers=workers).batches(start, last))
            assert len(again) == last - start
            assert all(map(equal, plain[start:], again))
    for batch in plain:
        assert len(set(batch.index.tolist())) == 8
        assert batch.images_per_rank == (len(batch.images),)
    epochs = [tuple(b.index.tolist()) for b in plain]
    assert epochs[: last // 3] != epochs[last // 3 : 2 * last // 3]


def test_ranks_read_different_shards_and_know_each_other_s_counts(pristine: Path) -> None:
    table = open_store(pristine).splits["train"]
    ranks = [stream(table, batch_size=4, rank=rank, world_size=2) for rank in range(2)]
    assert ranks[0].steps_per_epoch == ranks[1].steps_per_epoch
    steps = ranks[0].steps_per_epoch
    seen: list[int] = []
    for one, two in zip(ranks[0].batches(0, steps), ranks[1].batches(0, steps), strict=True):
        assert one.images_per_rank == two.images_per_rank == (len(one.images), len(two.images))
        assert one.pairs_per_rank == two.pairs_per_rank == (len(one.pairs), len(two.pairs))
        seen += one.index.tolist() + two.index.tolist()
    assert len(seen) == len(set(seen)) == steps * 4


def test_a_subset_and_dropped_studies_are_left_out(pristine: Path) -> None:
    table = open_store(pristine).splits["train"]
    part = table.subset(np.arange(table.n_studies) % 2 == 0)
    shown = [i for b in stream(part).batches(0, part.n_studies) for i in b.index.tolist()]
    assert sorted(shown) == list(range(part.n_studies))
    dropping = make_loader(
        table, pairing("same_study", unpaired="drop"), LoaderConfig(backend="webdataset"), seed=0, batch_size=1
    )
    batches = list(dropping.batches(0, dropping.steps_per_epoch))
    assert 0 < len(batches) < table.n_studies
    assert all(len(batch.pairs) == 1 for batch in batches)


@pytest.mark.parametrize("name", ["random", "same_patient"])
def test_pairings_of_several_studies_are_refused(pristine: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"it needs images of other studies\n.*loader.backend=mmap"):
        stream(open_store(pristine).splits["train"], name)


def test_more_processes_than_shards_are_refused(pristine: Path) -> None:
    table = open_store(pristine).splits["validate"]
    with pytest.raises(ConfigError, match=r"shards are too few for 4 processes"):
        stream(table, batch_size=4, world_size=4)


@pytest.mark.parametrize("length", [0, 700, 1400, 2000, 4096, 6144])
def test_a_shard_cut_off_after_it_was_opened(built: Path, length: int) -> None:
    table = open_store(built).splits["train"]
    shard = built / "train-000000.tar"
    shard.write_bytes(shard.read_bytes()[:length])
    streamed = stream(table)
    with pytest.raises(DataError, match=r"is damaged"):
        list(streamed.batches(0, streamed.steps_per_epoch))
    assert not loader_threads()


def test_a_sample_that_is_not_the_index_s(built: Path) -> None:
    table = open_store(built).splits["train"]
    shard = built / "train-000000.tar"
    name = str(table.study_ids[0]).encode()
    shard.write_bytes(shard.read_bytes().replace(b'"study_id": "' + name, b'"study_id": "' + b"x" * len(name)))
    streamed = stream(table)
    with pytest.raises(DataError, match=r"the shards end before study|where the index has"):
        list(streamed.batches(0, streamed.steps_per_epoch))


def test_closing_early_leaves_no_thread_and_no_open_file(pristine: Path) -> None:
    table = open_store(pristine).splits["train"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        batches = iter(stream(table).batches(0, 20))
        assert isinstance(next(batches).images, torch.Tensor)
        batches.close()  # type: ignore[attr-defined]
        del batches
        gc.collect()
    assert not loader_threads()
