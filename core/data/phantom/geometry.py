"""Convex solids, rays through them in closed form, and exact lengths of their unions and differences.

A solid is an ellipsoid, or an elliptic cylinder (an ellipsoid with an infinite axis), cut by up to two half-spaces.
Along a ray it is one interval of t. Coordinates in mm: x to the patient's left, y to the front, z to the head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating[Any]]
NEXT, AFTER = np.array([1, 2, 0]), np.array([2, 0, 1])
UPWARD, SIDEWAYS = np.array([0.0, 0, 1]), np.array([1.0, 0, 0])


@dataclass(frozen=True)
class Solids:
    """K convex solids {x: |frame (x - centre)| <= 1 and normals_j . x <= offsets_j for j = 0, 1}.

    frame: [K, 3, 3], 1/mm. centre: [K, 3], mm. normals: [K, 2, 3]. offsets: [K, 2], mm (inf = no cut).
    """

    frame: Array
    centre: Array
    normals: Array
    offsets: Array

    def __len__(self) -> int:
        return len(self.centre)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Solids:
        """The solids at `rows`."""
        index = np.asarray(rows, dtype=np.int64)
        return Solids(self.frame[index], self.centre[index], self.normals[index], self.offsets[index])

    def differing(self, other: Solids) -> NDArray[np.int64]:
        """Rows in which two batches of the same length differ."""
        pairs = [(getattr(self, name), getattr(other, name)) for name in ("frame", "centre", "normals", "offsets")]
        return np.flatnonzero(np.any([(a != b).reshape(len(self), -1).any(1) for a, b in pairs], axis=0))

    def contains(self, points: Array) -> NDArray[np.bool_]:
        """Indicator function: bool [K, N] of points [N, 3]."""
        local = self.frame.reshape(-1, 3) @ points.T
        local -= (self.frame @ self.centre[:, :, None]).reshape(-1, 1)
        local *= local
        inside = local.reshape(len(self), 3, -1).sum(1) <= 1
        cut = np.flatnonzero(np.isfinite(self.offsets).any(1))
        inside[cut] &= (self.normals[cut] @ points.T <= self.offsets[cut][:, :, None]).all(1)
        return np.asarray(inside)


def stack(parts: Sequence[Solids]) -> Solids:
    """All solids of `parts` in one batch, in order."""
    return Solids(
        np.concatenate([p.frame for p in parts]),
        np.concatenate([p.centre for p in parts]),
        np.concatenate([p.normals for p in parts]),
        np.concatenate([p.offsets for p in parts]),
    )


def rotation(axis: str, degrees: float) -> Array:
    """Rotation matrix [3, 3] about the x, y or z axis."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    if axis == "x":
        return np.array([[1.0, 0, 0], [0, cos, -sin], [0, sin, cos]])
    if axis == "y":
        return np.array([[cos, 0, sin], [0, 1.0, 0], [-sin, 0, cos]])
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])


def ellipsoids(centres: ArrayLike, radii: ArrayLike, turn: Array | None = None) -> Solids:
    """Ellipsoids at centres [K, 3] with semi-axes radii [K, 3], turned by turn ([3, 3] or one each, [K, 3, 3])."""
    middle, size = np.atleast_2d(np.asarray(centres, float)), np.atleast_2d(np.asarray(radii, float))
    turned = np.eye(3) if turn is None else np.swapaxes(turn, -1, -2)
    count = len(middle)
    return Solids(turned / size[:, :, None], middle, np.zeros((count, 2, 3)), np.full((count, 2), np.inf))


def cut(solids: Solids, normal: Sequence[float], offset: float) -> Solids:
    """`solids` kept where normal . x <= offset; takes the place of each solid's first free cut."""
    normals, offsets = solids.normals.copy(), solids.offsets.copy()
    slot = np.where(np.isinf(offsets[:, 0]), 0, 1)
    rows = np.arange(len(solids))
    normals[rows, slot], offsets[rows, slot] = normal, offset
    return Solids(solids.frame, solids.centre, normals, offsets)


def tube(points: ArrayLike, radius: ArrayLike, flat: Array | None = None, flatness: float = 1.0) -> Solids:
    """Bent pipes through points [..., N, 3]: N - 1 elliptic cylinders each, mitred: they meet without gap or overlap.

    radius: mm, one for all or [..., N - 1]. flat: [..., N - 1, 3] directions along which the section's semi-axis
    is radius * flatness (a rib is thin along the outward normal). Returns all segments in one batch, pipe by pipe.
    """
    points = np.asarray(points, float)
    starts, ends = points[..., :-1, :], points[..., 1:, :]
    along = unit(ends - starts)
    mitre = np.concatenate([along[..., :1, :], along[..., :-1, :] + along[..., 1:, :], along[..., -1:, :]], axis=-2)
    mitre = unit(mitre)
    first = _perpendicular(along) if flat is None else unit(flat - np.vecdot(flat, along)[..., None] * along)
    inverse = 1 / np.asarray(radius, float)[..., None]
    frame = np.zeros((*along.shape, 3))
    frame[..., 0, :], frame[..., 1, :] = first * (inverse / flatness), cross(along, first) * inverse
    normals = np.empty((*along.shape[:-1], 2, 3))
    np.negative(mitre[..., :-1, :], out=normals[..., 0, :])
    normals[..., 1, :] = mitre[..., 1:, :]
    offsets = np.empty((*along.shape[:-1], 2))
    np.vecdot(normals[..., 0, :], starts, out=offsets[..., 0])
    np.vecdot(normals[..., 1, :], ends, out=offsets[..., 1])
    centre = (starts + ends) * 0.5
    return Solids(frame.reshape(-1, 3, 3), centre.reshape(-1, 3), normals.reshape(-1, 2, 3), offsets.reshape(-1, 2))


def segments(starts: Array, ends: Array, radius: Array) -> Solids:
    """Straight round cylinders from starts [N, 3] to ends [N, 3] with radius [N], cut square at both ends."""
    return tube(np.stack([starts, ends], axis=1), np.asarray(radius)[:, None])


def unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.sqrt(np.vecdot(vectors, vectors))[..., None])


def cross(a: Array, b: Array) -> Array:
    """np.cross for [..., 3], which is many times slower on small arrays."""
    found = a.take(NEXT, -1) * b.take(AFTER, -1)
    found -= a.take(AFTER, -1) * b.take(NEXT, -1)
    return found


def _perpendicular(along: Array) -> Array:
    return unit(cross(along, np.where(np.abs(along[..., 2:]) < 0.9, UPWARD, SIDEWAYS)))


def gaps(low: Array, high: Array, enter: Array, leave: Array) -> tuple[Array, Array]:
    """What n intervals enter, leave [n, P] leave free of the intervals [low, high] ([P] each).

    Returns (starts, stops), each [m, P]: disjoint stretches in order, some of them empty (stop <= start). Entries
    and exits are sorted apart from each other: after the i-th exit nothing is covered exactly while the next entry
    lies ahead. An interval that misses has enter > leave and counts for nothing.
    """
    enter = np.minimum(np.maximum(enter, low), high)
    leave = np.maximum(np.minimum(leave, high), enter)
    met = (leave > enter).any(1)
    starts = np.concatenate([low[None], np.sort(leave[met], axis=0)])
    stops = np.concatenate([np.sort(enter[met], axis=0), high[None]])
    some = (stops > starts).any(1)
    return starts[some], stops[some]


def union_length(low: Array, high: Array, enter: Array, leave: Array) -> Array:
    """Length [P] of the part of the intervals [low, high] ([P] each) that n intervals enter, leave [n, P] cover."""
    empty = high <= low
    low, high = np.where(empty, 0, low), np.where(empty, 0, high)  # a miss may be infinite
    starts, stops = gaps(low, high, enter, leave)
    return np.asarray(high - low - np.maximum(stops - starts, 0).sum(0))


def joint_length(enter: Array, leave: Array) -> Array:
    """Length [P] of the union of n intervals enter, leave [n, P].

    Where all overlap the first, as flesh does the torso, or share a point, the union is one interval; only the rest is
    sorted.
    """
    first, last = enter.min(0), leave.max(0)
    found = np.maximum(last - first, np.zeros_like(first))
    last_enter, first_leave = np.minimum(enter, leave).max(0), np.maximum(enter, leave).min(0)  # misses left out
    one = (last_enter <= first_leave) | ((last_enter <= leave[0]) & (first_leave >= enter[0]))
    rest = np.flatnonzero(~one)
    enter, leave = enter[:, rest], leave[:, rest]
    found[rest] = union_length(first[rest], last[rest], enter, leave)
    return found
