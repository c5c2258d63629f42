"""How batches are filled: stratified ones against the definition, counted study by study over whole runs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.compose import compose, to_trial
from core.config import LoaderConfig
from core.data.batches.base import Course
from core.data.batches.stratified import StratifiedBatches, StratifiedConfig
from core.data.loader import Loader
from core.data.pairings.base import PAIRINGS
from core.errors import ConfigError
from tests.core.curation.trees import FEW
from tests.core.data.tables import random_table


def shown(clusters: np.ndarray, seed: int, epochs: int, steps: int, batch: int) -> np.ndarray:
    """[epochs * steps, batch] studies of a run."""
    filling = StratifiedBatches(StratifiedConfig(), clusters[None])
    anchor = np.arange(len(clusters))
    orders = [filling.order(anchor, Course(seed, epoch, steps, batch)) for epoch in range(epochs)]
    return anchor[np.concatenate(orders)].reshape(-1, batch)


@FEW
@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(0, 99), st.integers(1, 5), st.integers(1, 20))
def test_each_cluster_has_an_equal_share_of_each_batch(clusters: list[int], seed: int, steps: int, batch: int) -> None:
    labels = np.array(clusters)
    names = sorted(set(clusters))
    total: Counter[int] = Counter()
    seen: Counter[int] = Counter()
    for number, studies in enumerate(shown(labels, seed, 3, steps, batch), 1):
        drawn = Counter(labels[studies].tolist())
        assert all(drawn[name] - batch // len(names) in (0, 1) for name in names)
        total += drawn
        # The rest goes round: over any number of batches nobody is more than one ahead.
        assert max(total[name] for name in names) - min(total[name] for name in names) <= 1
        assert sum(total.values()) == number * batch
        # Whoever was seen least comes next: in a cluster, nobody is seen twice more than another.
        seen.update(studies.tolist())
        for name in names:
            counts = [seen[int(study)] for study in np.flatnonzero(labels == name)]
            assert max(counts) - min(counts) <= 1


def test_a_batch_follows_from_seed_and_step_alone_and_orders_differ() -> None:
    labels = np.random.default_rng(0).integers(0, 4, 50)
    run = shown(labels, 7, 4, 5, 10)
    # An epoch that is asked for without those before it, as by a run that resumes there.
    filling = StratifiedBatches(StratifiedConfig(), labels[None])
    np.testing.assert_array_equal(filling.order(np.arange(50), Course(7, 3, 5, 10)).reshape(5, 10), run[15:])
    assert not np.array_equal(run[:5], run[5:10])
    assert not np.array_equal(run, shown(labels, 8, 4, 5, 10))
    # Every rank's slice of a batch holds several clusters.
    assert np.mean([len(set(labels[half].tolist())) for half in run.reshape(-1, 5)]) > 2


@pytest.mark.parametrize(("level", "expected"), [(0, "coarse"), (1, "fine"), (2, "coarse")])
def test_the_level_says_whose_clusters_share(level: int, expected: str) -> None:
    fine, coarse = np.arange(40) % 10, np.arange(40) % 2
    filling = StratifiedBatches(StratifiedConfig(level=level), np.stack([fine, coarse]))
    rows = filling.order(np.arange(40), Course(0, 0, 4, 10)).reshape(4, 10)
    per_batch = [len(set(fine[batch].tolist())) for batch in rows]
    assert (per_batch == [10] * 4) == (expected == "fine")
    assert all(Counter(coarse[batch].tolist()) == {0: 5, 1: 5} for batch in rows)


def test_the_loader_shows_what_the_filling_orders() -> None:
    table = random_table(1)
    labels = np.random.default_rng(0).choice(3, table.n_studies, p=[0.9, 0.08, 0.02])
    filling = StratifiedBatches(StratifiedConfig(), labels[None])
    entry = PAIRINGS.get("same_study")

    def loader(**more: int) -> Loader:
        pairing = entry.build(entry.config())
        return Loader(table, pairing, LoaderConfig(workers=0), seed=5, batch_size=12, filling=filling, **more)

    whole, ranks = loader(), [loader(rank=rank, world_size=2) for rank in (0, 1)]
    for step in range(2 * whole.steps_per_epoch):
        batch = whole.batch(step).index.numpy()
        assert Counter(labels[batch].tolist()) == {0: 4, 1: 4, 2: 4}
        np.testing.assert_array_equal(np.concatenate([rank.batch(step).index.numpy() for rank in ranks]), batch)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "needs clusters"),
        (("curation=metadata", "batches.level=2"), r"batches.level=2 is outside \[0, 1\]"),
        (("curation=tree", "loader.backend=webdataset"), "cannot be streamed"),
        (("curation=tree", "batches.level=-1"), "batches.level=-1"),
    ],
)
def test_stratified_batches_that_cannot_be_are_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        to_trial(compose(["batches=stratified", *overrides]))
