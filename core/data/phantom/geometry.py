"""Convex solids, rays through them in closed form, and exact lengths of their unions and differences.

A solid is an ellipsoid, or an elliptic cylinder (an ellipsoid with an infinite axis), cut by up to two half-spaces.
Along a ray it is one interval of t. Coordinates in mm: x to the patient's left, y to the front, z to the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
TINY = 1e-14  # keeps rays that run along a cylinder's axis finite


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

    def contains(self, points: Array) -> NDArray[np.bool_]:
        """Indicator function: bool [K, N] of points [N, 3]."""
        local = np.einsum("kij,knj->kni", self.frame, points[None] - self.centre[:, None])
        inside = (local**2).sum(-1) <= 1
        planes = np.einsum("kjc,nc->kjn", self.normals, points) <= self.offsets[:, :, None]
        return np.asarray(inside & planes.all(1))


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
    a, b = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    turn = np.eye(3)
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn[a, a] = turn[b, b] = cos
    turn[a, b], turn[b, a] = -sin, sin
    return turn


def ellipsoids(centres: Array, radii: Array, turn: Array | None = None) -> Solids:
    """Ellipsoids at centres [K, 3] with semi-axes radii [K, 3] (inf = a cylinder), all turned by turn [3, 3]."""
    centres, radii = np.atleast_2d(np.asarray(centres, float)), np.atleast_2d(np.asarray(radii, float))
    frame = (1 / radii)[:, :, None] * (np.eye(3) if turn is None else turn.T)[None]
    count = len(centres)
    return Solids(frame, centres, np.zeros((count, 2, 3)), np.full((count, 2), np.inf))


def cut(solids: Solids, normal: Sequence[float], offset: float) -> Solids:
    """`solids` kept where normal . x <= offset; takes the place of each solid's first free cut."""
    normals, offsets = solids.normals.copy(), solids.offsets.copy()
    slot = np.where(np.isinf(offsets[:, 0]), 0, 1)
    rows = np.arange(len(solids))
    normals[rows, slot], offsets[rows, slot] = normal, offset
    return Solids(solids.frame, solids.centre, normals, offsets)


def tube(points: Array, radius: float | Array, flat: Array | None = None, flatness: float = 1.0) -> Solids:
    """A bent pipe through points [N, 3] as N - 1 elliptic cylinders that meet at mitred ends: no gap, no overlap.

    radius: mm, one or one a segment. flat: [N - 1, 3] directions along which the section's semi-axis is
    radius * flatness (a rib is thin along the outward normal).
    """
    points = np.asarray(points, float)
    step = np.diff(points, axis=0)
    along = step / np.linalg.norm(step, axis=1, keepdims=True)
    mitre = np.concatenate([along[:1], along[:-1] + along[1:], along[-1:]])
    mitre /= np.linalg.norm(mitre, axis=1, keepdims=True)
    first = _perpendicular(along) if flat is None else flat - (flat * along).sum(1, keepdims=True) * along
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(along, first)
    size = np.broadcast_to(np.asarray(radius, float), (len(along),))[:, None]
    frame = np.stack([first / (size * flatness), second / size, np.zeros_like(along)], axis=1)
    normals = np.stack([-mitre[:-1], mitre[1:]], axis=1)
    ends = np.stack([points[:-1], points[1:]], axis=1)
    return Solids(frame, (points[:-1] + points[1:]) / 2, normals, (normals * ends).sum(-1))


def segments(starts: Array, ends: Array, radius: Array) -> Solids:
    """Straight round cylinders from starts [N, 3] to ends [N, 3] with radius [N], cut square at both ends."""
    step = ends - starts
    along = step / np.linalg.norm(step, axis=1, keepdims=True)
    first = _perpendicular(along)
    frame = np.stack([first, np.cross(along, first), np.zeros_like(along)], axis=1)
    frame[:, :2] /= np.asarray(radius)[:, None, None]
    normals = np.stack([-along, along], axis=1)
    points = np.stack([starts, ends], axis=1)
    return Solids(frame, (starts + ends) / 2, normals, (normals * points).sum(-1))


def _perpendicular(along: Array) -> Array:
    helper = np.where(np.abs(along[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    first = np.cross(along, helper)
    return np.asarray(first / np.linalg.norm(first, axis=1, keepdims=True))


def union_length(low: Array, high: Array, enter: Array, leave: Array) -> Array:
    """Length [P] of the part of the interval [low, high] ([P] each) that n intervals enter, leave [n, P] cover.

    Entries and exits are sorted apart from each other: after the i-th exit nothing is covered exactly while
    the next entry lies ahead, so the gaps are max(0, entry[i + 1] - exit[i]).
    """
    empty = high <= low
    low, high = np.where(empty, 0.0, low), np.where(empty, 0.0, high)  # a miss may be infinite
    if len(enter) == 0:
        return np.zeros_like(low)
    enter = np.minimum(np.maximum(enter, low), high)
    leave = np.maximum(np.minimum(leave, high), enter)
    if len(enter) > 1:
        enter, leave = np.sort(enter, axis=0), np.sort(leave, axis=0)
    gaps = np.maximum(enter[1:] - leave[:-1], 0).sum(0)
    return np.asarray(leave[-1] - enter[0] - gaps)
