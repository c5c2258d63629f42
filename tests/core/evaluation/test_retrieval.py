"""Cross-view retrieval against sorting by hand, and its value where the answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.evaluation.base import Skipped
from core.evaluation.kinds.retrieval import RetrievalConfig, places, recall, retrieval


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("k", [1, 5, 10])
def test_recall_equals_sorting_each_query(k: int) -> None:
    rng = np.random.default_rng(0)
    frontal = unit(rng.standard_normal((40, 6)))
    lateral = unit(frontal + 0.6 * rng.standard_normal((40, 6)))
    hits = [i in np.argsort(-(lateral @ frontal[i]))[:k] for i in range(40)]
    found = recall(*places(frontal, lateral), k)
    assert found == pytest.approx(np.mean(hits))
    assert 0.1 < found < 1.0


def test_a_collapsed_encoder_scores_chance() -> None:
    same = unit(np.ones((25, 4)))
    ahead, level = places(same, same)
    for k in (1, 5, 10):
        assert recall(ahead, level, k) == pytest.approx(k / 25)


def test_identical_views_are_always_found_and_opposite_ones_come_last() -> None:
    x = unit(np.random.default_rng(0).standard_normal((30, 8)))
    assert recall(*places(x, x), 1) == 1.0
    assert recall(*places(x, -x), 29) == 0.0
    assert recall(*places(x, -x), 30) == 1.0


def test_both_directions_and_chance_are_reported_over_studies_with_both_views(make, store) -> None:
    found = {(m.metric, m.view): m for m in retrieval(RetrievalConfig(), make.context(store)).metrics}
    table = store.splits["test"]
    both = sum(len(set(table.view[table.start[s] : table.start[s + 1]])) == 2 for s in range(table.n_studies))
    for view in ("frontal", "lateral"):
        assert found["recall_at_5", view].n == both
        assert found["chance_at_5", view].value == pytest.approx(5 / both)
        assert found["recall_at_1", view].value <= found["recall_at_10", view].value
    assert len(found) == 2 * 7


def test_without_pairs_it_says_why_it_is_skipped(make, store) -> None:
    tables = {k: replace(t, view=np.zeros_like(t.view)) for k, t in store.splits.items()}
    found = retrieval(RetrievalConfig(), make.context(replace(store, splits=tables)))
    assert isinstance(found, Skipped)
    assert "both views" in found.reason
