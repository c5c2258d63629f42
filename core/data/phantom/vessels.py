"""Lung vessels and airways: a tree from each hilum that splits until every target has its twig."""

from __future__ import annotations

import numpy as np

from core.data.phantom.body import Body
from core.data.phantom.geometry import Array, segments, tube
from core.data.phantom.organs import SIGN, Organs, Structure, build_organs, in_lung
from core.data.phantom.rays import Parts, join, parts_of
from core.data.phantom.streams import stream

TARGETS = 80  # twigs in a lung
HILUM = {"right": np.array([-34.0, -8.0, 2.0]), "left": np.array([33.0, -12.0, 10.0])}
MU_BLOOD = 0.0205  # 1/mm


def lung_points(body: Body, organs: Organs, side: str, rng: np.random.Generator, tries: int) -> Array:
    """Points spread evenly over one lung: [about tries / 3, 3], mm."""
    low = np.array([4.0, -95 * body.depth, -175 * body.height])
    high = np.array([145 * body.width, 92 * body.depth, 155 * body.height])
    points = rng.uniform(low, high, (tries, 3)) * [SIGN[side], 1, 1]
    return points[in_lung(organs, side, points)]


def _grow(start: Array, targets: Array, share: float) -> tuple[list[Array], list[Array], list[int]]:
    """Starts, ends and numbers of twigs served of a tree's segments, by splitting the targets in halves."""
    starts, ends, counts = [], [], []
    waiting = [(start, targets)]
    while waiting:
        here, group = waiting.pop()
        middle = group.mean(0)
        there = here + (middle - here) * (share if len(group) > 1 else 0.97)
        starts.append(here)
        ends.append(there)
        counts.append(len(group))
        if len(group) > 1:
            spread = group - middle
            widest = spread[:, np.argmax((spread**2).sum(0))]
            order = np.argsort(widest, kind="stable")
            half = len(group) // 2
            waiting += [(there, group[order[:half]]), (there, group[order[half:]])]
    return starts, ends, counts


def lung_tree(seed: int, body: Body, side: str) -> tuple[Array, Array, Array]:
    """(starts [N, 3], ends [N, 3], radii [N]), mm, of one lung's vessels; the same in all studies of a patient."""
    rng = stream(seed, body.number, "vessels", side)
    organs = build_organs(body, Structure())
    targets = lung_points(body, organs, side, rng, 4 * TARGETS)[:TARGETS]
    starts, ends, counts = _grow(HILUM[side], targets, 0.42)
    radii = 0.95 * body.vessel * np.asarray(counts, float) ** 0.42
    return np.asarray(starts), np.asarray(ends), np.minimum(radii, 6.5)


def vessel_parts(tree: tuple[Array, Array, Array], mu: float, squeeze: float, hilum: Array) -> Parts:
    """Vessels as parts, drawn towards the hilum by `squeeze` (1 = in place; a collapsed lung takes them along)."""
    starts, ends, radii = tree
    return parts_of(segments(hilum + (starts - hilum) * squeeze, hilum + (ends - hilum) * squeeze, radii), mu)


def airways(structure: Structure, mu_soft: float) -> Parts:
    """Air in the windpipe and the main bronchi."""
    carina = np.array([2 + 0.8 * structure.shift, -22, 36])
    pipe = np.stack([[0, -26, 215], [0, -24, 140], [3 + 0.6 * structure.shift, -22, 90], carina])
    right = np.stack([carina, carina + [-20, -2, -20], carina + [-34, -4, -44]])
    left = np.stack([carina, carina + [24, -4, -18], carina + [44, -6, -30]])
    return join(
        [parts_of(tube(pipe, 9.0), -mu_soft), parts_of(tube(right, 6.5), -mu_soft), parts_of(tube(left, 6.0), -mu_soft)]
    )
