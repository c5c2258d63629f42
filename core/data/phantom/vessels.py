"""Lung vessels and airways: a tree from each hilum that forks until every target has its twig."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from core.data.phantom.body import Body
from core.data.phantom.geometry import Array, segments, tube
from core.data.phantom.organs import SIDES, SIGN, Organs, Structure, build_organs
from core.data.phantom.parts import Parts, join, parts_of
from core.data.phantom.streams import stream

FORKS = 7  # a lung has 2 ** FORKS twigs
HILUM = {"right": np.array([-32.0, -8.0, 0.0]), "left": np.array([32.0, -12.0, 8.0])}
MU_BLOOD = 0.0205  # 1/mm


@dataclass(frozen=True)
class Tree:
    """One lung's vessels: starts and ends [N, 3] and radii [N] of straight pieces, mm."""

    starts: Array
    ends: Array
    radii: Array

    def parts(self, mu: float, collapse: float, pivot: Array, least: float) -> Parts:
        """The vessels of radius `least` mm or more, drawn towards `pivot` by `collapse` (1 = in place).

        A collapsed lung takes its vessels along.
        """
        seen = self.radii >= least
        starts, ends = (pivot + (x[seen] - pivot) * collapse for x in (self.starts, self.ends))
        return parts_of(segments(starts, ends, self.radii[seen]), mu)


def lung_points(body: Body, organs: Organs, side: str, rng: np.random.Generator, tries: int) -> Array:
    """Points spread evenly over one lung: [about tries / 3, 3], mm."""
    low = np.array([4.0, -95 * body.depth, -175 * body.height])
    high = np.array([145 * body.width, 92 * body.depth, 155 * body.height])
    points = rng.uniform(low, high, (tries, 3)) * [SIGN[side], 1, 1]
    return points[organs.in_lung(side, points)]


def lung_trees(seed: int, body: Body) -> dict[str, Tree]:
    """The vessels of both lungs, the same in all studies of a patient. Both grow at once, the right before the left."""
    count, organs = 2**FORKS, build_organs(body, Structure())
    draws = [stream(seed, body.number, "vessels", side) for side in SIDES]
    clouds = [lung_points(body, organs, side, rng, 3 * count) for side, rng in zip(SIDES, draws, strict=True)]
    groups = np.stack([points[np.arange(count) % len(points)] for points in clouds])
    here, starts, ends, served = np.stack([HILUM[side] for side in SIDES]), [], [], []
    for fork in range(FORKS + 1):
        twigs, middle = groups.shape[1], groups.mean(1)
        reach = np.concatenate([0.40 + 0.1 * rng.random(2**fork) for rng in draws])[:, None] if twigs > 1 else 0.97
        there = here + (middle - here) * reach
        starts.append(here.reshape(2, -1, 3))
        ends.append(there.reshape(2, -1, 3))
        served.append(np.full(2**fork, twigs))
        groups, here = _halved(groups, middle), np.repeat(there, 2, axis=0)
    radii = np.minimum(1.2 * body.vessel * np.concatenate(served) ** 0.44, 7.0)
    begin, end = np.concatenate(starts, axis=1), np.concatenate(ends, axis=1)
    return {side: Tree(begin[i], end[i], radii) for i, side in enumerate(SIDES)}


def _halved(groups: Array, middle: Array) -> Array:
    """Each of [G, n, 3] groups (of means [G, 3]) cut in two along the axis on which it is widest: [2 G, n / 2, 3]."""
    count, twigs, _ = groups.shape
    each, away = np.arange(count), groups - middle[:, None]
    widest = np.einsum("gni,gni->gi", away, away).argmax(1)
    order = np.argsort(groups[each, :, widest], axis=1, kind="stable")
    return groups[each[:, None], order][:, : twigs // 2 * 2].reshape(2 * count, -1, 3)


@lru_cache(maxsize=2)
def airways(mu_soft: float) -> Parts:
    """Air in the windpipe and the main bronchi."""
    carina = np.array([2.0, -22, 36])
    pipe = np.stack([[0, -26, 215], [0, -24, 140], [3, -22, 90], carina])
    right = np.stack([carina, carina + [-20, -2, -20], carina + [-34, -4, -44]])
    left = np.stack([carina, carina + [24, -4, -18], carina + [44, -6, -30]])
    pieces = ((pipe, 9.0), (right, 6.5), (left, 6.0))
    return join([parts_of(tube(line, radius), -mu_soft) for line, radius in pieces])
