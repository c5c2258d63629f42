"""How uniform hierarchical k-means makes a lop-sided plane: the toy example by which its authors measure it.

7,000 + 1,000 + 500 normal points and 500 uniform ones on [-3, 3]^2; 300 centroids; KL divergence of a Gaussian kernel
density (bandwidth 0.5) of the centroids from the uniform density, on a grid of step 0.02 (arXiv 2405.15613).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from core.curation.points import in_memory
from core.curation.tree import Level, TreeSettings, build_tree
from core.data.types import Floats

BANDWIDTH, SIDE, STEP = 0.5, 3.0, 0.02
# what: (levels, r of each, the authors' figure, least and greatest of an independent re-run over three seeds)
PUBLISHED: dict[str, tuple[tuple[int, ...], tuple[int, ...], float, float, float]] = {
    "raw": ((), (), 0.942, 0.951, 0.951),
    "one level": ((300,), (0,), 0.340, 0.35, 0.37),
    "two levels": ((1500, 300), (0, 0), 0.132, 0.13, 0.14),
    "three levels": ((3000, 1000, 300), (0, 0, 0), 0.081, 0.09, 0.10),
    "three levels, resampled": ((3000, 1000, 300), (2, 2, 2), 0.042, 0.045, 0.053),
}


def plane(seed: int, share: float = 1.0) -> Floats:
    """The points of the example [9000 * share, 2] float32."""
    rng = np.random.default_rng(seed)
    n = [round(count * share) for count in (7000, 1000, 500, 500)]
    return np.concatenate(
        [
            rng.normal((-1, -1), 0.5, (n[0], 2)),
            rng.normal((1, -1), 0.5, (n[1], 2)),
            rng.normal((0, 1), 0.5, (n[2], 2)),
            rng.uniform(-SIDE, SIDE, (n[3], 2)),
        ]
    ).astype(np.float32)


def divergence(points: Floats) -> float:
    """KL(kernel density || uniform) on [-3, 3]^2 of points [N, 2], nats."""
    cells = np.arange(-SIDE + STEP / 2, SIDE, STEP)
    x, y = (np.exp(-0.5 * ((cells[:, None] - points[None, :, axis]) / BANDWIDTH) ** 2) for axis in (0, 1))
    density = x @ y.T
    density /= density.sum()
    return float((density * np.log(density * density.size)).sum())


def centroids(points: Floats, levels: tuple[int, ...], resample: tuple[int, ...], seed: int) -> Floats:
    """Of the top level [k, 2]; the points themselves where there is no level."""
    if not levels:
        return points
    settings = TreeSettings(tuple(Level(1, k) for k in levels), resample, seed=seed)
    return build_tree(in_memory(points), settings).centroids[-1]


def bench_curation(seeds: int) -> list[dict[str, Any]]:
    """Rows, one a tree: mean, least and greatest divergence over seeds beside the authors' figure and a re-run's range.

    within: whether the mean, to two digits as the range is given, lies in the range. seconds: of one seed.
    """
    rows = []
    for name, (levels, resample, authors, low, high) in PUBLISHED.items():
        began = time.perf_counter()
        found = [divergence(centroids(plane(seed), levels, resample, seed)) for seed in range(seeds)]
        mean = float(np.mean(found))
        rows.append(
            {
                "tree": name,
                "seeds": seeds,
                "mean": mean,
                "least": min(found),
                "greatest": max(found),
                "authors": authors,
                "re_run": f"{low}-{high}" if low < high else f"{low}",
                "within": round(low, 2) <= round(mean, 2) <= round(high, 2),
                "seconds": (time.perf_counter() - began) / seeds,
            }
        )
    return rows
