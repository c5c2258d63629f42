"""Trees that hypothesis draws, without any k-means: any hierarchy is one that sampling must cope with."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from core.curation.tree import Tree

# The same few examples every time: tests of a seedful project.
FEW = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """1 to 3 levels over 1 to 200 points, with lop-sided and empty clusters."""
    points = draw(st.integers(1, 200))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    counts = sorted(draw(st.lists(st.integers(1, 20), min_size=1, max_size=3)), reverse=True)
    lopsided = draw(st.floats(0.2, 3))
    parents, below = [], points
    for count in counts:
        weights = rng.random(count) ** lopsided + 1e-9
        parents.append(rng.choice(count, size=below, p=weights / weights.sum()).astype(np.int64))
        below = count
    distance = rng.random(points).astype(np.float32)
    return Tree(tuple(parents), tuple(counts), distance, tuple(np.zeros((c, 1), np.float32) for c in counts))
