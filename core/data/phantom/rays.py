"""The rays of one film, and where they enter and leave solids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from core.data.phantom.geometry import Array, Solids

Index = NDArray[np.int64]
FAR = 1e9  # mm, the offset of a cut that cuts nothing
TINY = 1e-14  # keeps rays that run along a cylinder's axis finite
HUGE = np.float32(1e20)  # turns a sign into a bound beyond every t


@dataclass(frozen=True)
class Rays:
    """A grid of rays: x(t) = middle + u e1 + v e2 + t (forward + (u e1 + v e2) / source), t in about mm.

    (u, v) are mm in the plane through `middle` across the beam; u grows with the column, v against the row.
    axes: [3, 3], rows e1, e2, forward (orthonormal). source: mm from the focus to that plane (inf = parallel).
    u: [W]. v: [H]. origin: [3], mm.
    """

    origin: Array
    axes: Array
    source: float
    u: Array
    v: Array

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the film."""
        return len(self.v), len(self.u)

    @property
    def pitch(self) -> float:
        """Side of a pixel in the middle plane, mm."""
        return float(self.u[1] - self.u[0])

    def band(self, first: int, last: int) -> Rays:
        """The rays of rows first to last - 1."""
        return Rays(self.origin, self.axes, self.source, self.u, self.v[first:last])

    def stretch(self) -> Array:
        """Length of a step of t = 1 along each ray, mm: [H * W]."""
        square = (self.u[None, :] ** 2 + self.v[:, None] ** 2) / self.source**2
        return np.asarray(np.sqrt(1 + square).ravel())

    def project(self, points: Array) -> tuple[Array, Array]:
        """(u, v), mm, of the rays through points [..., 3]."""
        local = (points - self.origin) @ self.axes.T
        scale = 1 / (1 + local[..., 2] / self.source)
        return local[..., 0] * scale, local[..., 1] * scale

    def points(self, t: Array) -> Array:
        """Points [N, H * W, 3] at parameters t [N] of every ray."""
        across = self.u[None, :, None] * self.axes[0] + self.v[:, None, None] * self.axes[1]
        across = across.reshape(-1, 3)
        return np.asarray(self.origin + across + t[:, None, None] * (self.axes[2] + across / self.source)[None])

    def monomials(self) -> Array:
        """1, u, v, u u, u v, v v of every ray: float32 [6, H * W]."""
        found = np.ones((6, *self.shape), np.float32)
        found[1], found[2] = self.u, self.v[:, None]
        np.multiply(found[1], found[1:3], out=found[3:5])
        np.multiply(found[2], found[2], out=found[5])
        return found.reshape(6, -1)


def film_rays(axes: Array, origin: Array, source: float, size: int, field: float) -> Rays:
    """The rays of a square film of `size` px whose field of view is `field` mm wide in the middle plane."""
    across = (np.arange(size) - (size - 1) / 2) * (field / size)
    return Rays(np.asarray(origin, float), np.asarray(axes, float), source, across, -across)


@dataclass(frozen=True)
class RayForms:
    """Polynomials in (u, v), one row a solid, from which entry and exit follow in closed form.

    quadric: [3, K, 6], the a, b, c of a t^2 + 2 b t + c <= 0. limits: [2, 2, K, 3], of two cuts the rate and the gap of
    rate t <= gap. cut: bool [2, K], which of these two the solid has.
    """

    quadric: Array
    limits: Array
    cut: NDArray[np.bool_]

    def take(self, rows: Sequence[int] | Index) -> RayForms:
        """The forms at `rows`."""
        index = np.asarray(rows, dtype=np.int64)
        return RayForms(self.quadric[:, index], self.limits[:, :, index], self.cut[:, index])

    def intervals(self, monomials: Array) -> tuple[Array, Array]:
        """(enter, leave), each float32 [K, P]: t where rays enter and leave solids; a miss has enter > leave."""
        count = self.quadric.shape[1]
        a, b, c = (self.quadric.astype(np.float32).reshape(-1, 6) @ monomials).reshape(3, count, monomials.shape[1])
        enter, leave = _roots(a, b, c)
        for limits, cut in zip(self.limits, self.cut, strict=True):
            rows = cut.nonzero()[0]
            if len(rows):
                span = slice(rows[0], rows[-1] + 1)  # a solid without a cut that lies between is cut nowhere
                low, high = bounds(*(limits[:, span].astype(np.float32) @ monomials[:3]))
                np.maximum(enter[span], low, out=enter[span])
                np.minimum(leave[span], high, out=leave[span])
        return enter, leave


def ray_forms(solids: Solids, rays: Rays) -> RayForms:
    """The closed forms of `solids` for `rays`."""
    count = len(solids)
    across = (solids.frame.reshape(-1, 3) @ rays.axes.T).reshape(count, 3, 3)
    start = (solids.frame * (rays.origin - solids.centre)[:, None]).sum(2, keepdims=True)
    vectors = np.concatenate([start, across], axis=2)
    products = (vectors.transpose(0, 2, 1) @ vectors).reshape(count, 16)
    quadric = (products @ _products_to_forms(rays.source)).reshape(count, 3, 6).transpose(1, 0, 2)
    quadric[0, :, 0] += TINY
    quadric[2, :, 0] -= 1
    slopes = (solids.normals @ rays.axes.T).transpose(1, 0, 2)
    limits = np.empty((2, 2, count, 3))
    np.multiply(slopes[:, :, [2, 0, 1]], np.array([1, 1 / rays.source, 1 / rays.source]), out=limits[:, 0])
    limits[:, 0, :, 0] += TINY
    np.subtract(np.minimum(solids.offsets, FAR), solids.normals @ rays.origin, out=limits[:, 1, :, 0].T)
    np.negative(slopes[:, :, :2], out=limits[:, 1, :, 1:])
    return RayForms(quadric, limits, np.isfinite(solids.offsets).T)


@lru_cache(maxsize=8)
def _products_to_forms(source: float) -> Array:
    """[16, 18]: from the dot products of (start, e1, e2, forward) to q q, p q and p p over `monomials`.

    In a solid's frame a ray is p + t q with p = start + u e1 + v e2 and q = forward + (u e1 + v e2) / source.
    """
    p = {0: (0, 1.0), 1: (1, 1.0), 2: (2, 1.0)}  # power -> which vector, times what
    q = {0: (3, 1.0), 1: (1, 1 / source), 2: (2, 1 / source)}
    monomial = {(0, 0): 0, (0, 1): 1, (0, 2): 2, (1, 1): 3, (1, 2): 4, (2, 2): 5}
    table = np.zeros((4, 4, 3, 6))
    for form, (left, right) in enumerate([(q, q), (p, q), (p, p)]):
        for i, (row, factor) in left.items():
            for j, (column, other) in right.items():
                table[row, column, form, monomial[min(i, j), max(i, j)]] += factor * other
    return table.reshape(16, 18)


def _roots(a: Array, b: Array, c: Array) -> tuple[Array, Array]:
    """Both t with a t^2 + 2 b t + c = 0, in the memory of a and c; where there is none, the first lies far behind.

    Choosing by a mask takes numpy ten times as long as arithmetic, so that signs are turned into bounds instead.
    """
    zero = np.zeros(a.shape[1:], a.dtype)
    np.abs(a, out=a)  # never below zero but by rounding
    b /= a
    c /= a
    square = np.multiply(b, b, out=a)
    square -= c
    missed = np.minimum(square, zero, out=c)
    missed *= HUGE
    half = np.sqrt(np.maximum(square, zero, out=square), out=square)
    half += missed
    leave = np.subtract(half, b, out=c)
    half += b
    return np.negative(half, out=half), leave


def bounds(rate: Array, gap: Array) -> tuple[Array, Array]:
    """(low, high) of t where rate t <= gap: gap / rate bounds t from above where the rate is positive, else below."""
    t = gap / rate
    far = rate * -HUGE
    return np.minimum(t, far), np.maximum(t, far, out=far)


def intervals(solids: Solids, rays: Rays, monomials: Array) -> tuple[Array, Array]:
    """`RayForms.intervals` of `solids`."""
    return ray_forms(solids, rays).intervals(monomials)
