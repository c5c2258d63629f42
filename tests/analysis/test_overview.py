"""Titles above the markers of the main figure."""

from __future__ import annotations

import itertools

import pytest

from analysis.plots.overview import spread


def test_titles_keep_their_distance_and_their_order() -> None:
    placed = spread({"1 %": 0.50, "10 %": 0.51, "100 %": 0.60}, least=0.05)
    assert list(placed) == ["1 %", "10 %", "100 %"]
    values = list(placed.values())
    assert all(right - left >= 0.05 - 1e-12 for left, right in itertools.pairwise(values))
    assert sum(values) == pytest.approx(0.50 + 0.51 + 0.60)


def test_titles_that_are_far_apart_stay_where_they_are_wanted() -> None:
    assert spread({"a": 0.1, "b": 0.9}, least=0.1) == {"a": 0.1, "b": 0.9}
    assert spread({}, least=0.1) == {}
