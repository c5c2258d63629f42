"""The rays of one film, and where they enter and leave solids: dense for organs, ragged for small parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.data.phantom.geometry import TINY, Array, Solids, cross, stack, unit

Index = NDArray[np.int64]
INFINITE = np.float32(np.inf)
FAR = 1e9  # mm, the offset of a cut that cuts nothing
CHUNK = 8192  # (part, pixel) pairs computed at once: temporaries stay in the cache


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
        v, u = np.meshgrid(self.v.astype(np.float32), self.u.astype(np.float32), indexing="ij")
        return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v]).reshape(6, -1)


def film_rays(axes: Array, origin: Array, source: float, size: int, field: float) -> Rays:
    """The rays of a square film of `size` px whose field of view is `field` mm wide in the middle plane."""
    across = (np.arange(size) - (size - 1) / 2) * (field / size)
    return Rays(np.asarray(origin, float), np.asarray(axes, float), source, across, -across)


@dataclass(frozen=True)
class RayForms:
    """Polynomials in (u, v), one row a solid, from which entry and exit follow in closed form.

    quadric: [K, 3, 6], the a, b, c of a t^2 + 2 b t + c <= 0. rate, gap: [K, 2, 3], of rate t <= gap. cut: bool [K, 2],
    which of these two the solid has.
    """

    quadric: Array
    rate: Array
    gap: Array
    cut: NDArray[np.bool_]

    def take(self, rows: Sequence[int] | Index) -> RayForms:
        """The forms at `rows`."""
        index = np.asarray(rows, dtype=np.int64)
        return RayForms(self.quadric[index], self.rate[index], self.gap[index], self.cut[index])

    def intervals(self, monomials: Array) -> tuple[Array, Array]:
        """(enter, leave), each float32 [K, P]: t where rays enter and leave solids; a miss has enter > leave."""
        values = (self.quadric.reshape(-1, 6).astype(np.float32) @ monomials).reshape(len(self.quadric), 3, -1)
        enter, leave = _roots(values[:, 0], values[:, 1], values[:, 2])
        for slot in range(2):
            rows = np.flatnonzero(self.cut[:, slot])
            if len(rows):
                cuts = np.stack([self.rate[rows, slot], self.gap[rows, slot]]).astype(np.float32)
                rate, gap = cuts @ monomials[:3]
                enter[rows], leave[rows] = _cut(enter[rows], leave[rows], rate, gap)
        return enter, leave


def ray_forms(solids: Solids, rays: Rays) -> RayForms:
    """The closed forms of `solids` for `rays`."""
    count = len(solids)
    across = (solids.frame.reshape(-1, 3) @ rays.axes.T).reshape(count, 3, 3)
    start = (solids.frame * (rays.origin - solids.centre)[:, None]).sum(2, keepdims=True)
    vectors = np.concatenate([start, across], axis=2)
    products = (vectors.transpose(0, 2, 1) @ vectors).reshape(count, 16)
    quadric = (products @ _products_to_forms(rays.source)).reshape(count, 3, 6)
    quadric[:, 2, 0] -= 1
    slopes = solids.normals @ rays.axes.T
    rate = slopes[:, :, [2, 0, 1]] * np.array([1, 1 / rays.source, 1 / rays.source])
    level = np.minimum(solids.offsets, FAR) - solids.normals @ rays.origin
    gap = np.concatenate([level[:, :, None], -slopes[:, :, :2]], axis=2)
    return RayForms(quadric, rate, gap, np.isfinite(solids.offsets))


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
    a = np.maximum(a, TINY)
    square = b * b - a * c
    half = np.where(square > 0, np.sqrt(np.maximum(square, 0)) / a, -INFINITE)
    middle = b / a
    return -middle - half, half - middle


def _cut(enter: Array, leave: Array, rate: Array, gap: Array) -> tuple[Array, Array]:
    rate = np.where(np.abs(rate) < TINY, np.float32(TINY), rate)
    t = gap / rate
    enter = np.maximum(enter, np.where(rate < 0, t, -INFINITE))
    leave = np.minimum(leave, np.where(rate > 0, t, INFINITE))
    return enter, leave


def intervals(solids: Solids, rays: Rays, monomials: Array) -> tuple[Array, Array]:
    """`RayForms.intervals` of `solids`."""
    return ray_forms(solids, rays).intervals(monomials)


@dataclass(frozen=True)
class Parts:
    """K small solids whose attenuation is added: bones, vessels, devices.

    ends: [K, 2, 3], mm, and reach: [K], mm, bound each solid: it lies within `reach` of the line between its ends.
    outer: [K], 1/mm, attenuation over its surroundings; inner: [K], the same for the core that is `core` [K] as
    wide (bone is a shell round marrow). channel: [K] int, the image to which it is added.
    """

    solids: Solids
    ends: Array
    reach: Array
    outer: Array
    inner: Array
    core: Array
    channel: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.reach)

    def to_channel(self, channel: int, factor: float = 1.0) -> Parts:
        """These parts added to another image, their attenuation times `factor`."""
        channels = np.full(len(self), channel, dtype=np.int64)
        return Parts(self.solids, self.ends, self.reach, self.outer * factor, self.inner * factor, self.core, channels)


def parts_of(solids: Solids, mu: ArrayLike, inner: ArrayLike | None = None, core: ArrayLike = 0.0) -> Parts:
    """Parts of channel 0 from tubes or ellipsoids; `mu`, 1/mm, in the shell, `inner` in the core, for all or each."""
    inverse = np.sqrt((solids.frame**2).sum(2))
    count = len(solids)
    axis = unit(cross(solids.frame[:, 0], solids.frame[:, 1]))
    rate = (solids.normals * axis[:, None]).sum(-1)
    gap = solids.offsets - (solids.normals * solids.centre[:, None]).sum(-1)
    bounded = (inverse[:, 2:] == 0) & (rate != 0)
    shift = np.divide(gap, rate, out=np.zeros_like(gap), where=bounded & np.isfinite(gap))
    widest = 1 / np.where(inverse > 0, inverse, np.inf).min(1)
    return Parts(
        solids,
        solids.centre[:, None] + shift[:, :, None] * axis[:, None],
        widest * 1.15,
        np.full(count, mu, float),
        np.full(count, mu if inner is None else inner, float),
        np.full(count, core, float),
        np.zeros(count, dtype=np.int64),
    )


def mixed_parts(groups: Sequence[tuple[Solids, float, float, float]]) -> Parts:
    """Parts of channel 0 from groups of solids, each with its (mu, inner, core) as in `parts_of`."""
    counts = [len(solids) for solids, *_ in groups]
    mu, inner, core = (np.repeat([group[i] for group in groups], counts) for i in (1, 2, 3))
    return parts_of(stack([solids for solids, *_ in groups]), mu, inner, core)


def join(parts: list[Parts]) -> Parts:
    """All parts in one batch, in order."""
    names = ("ends", "reach", "outer", "inner", "core", "channel")
    columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
    return Parts(stack([p.solids for p in parts]), **columns)


def attenuation(parts: Parts, rays: Rays, channels: int) -> Array:
    """Line integrals of `parts` in their channels: [channels, H * W], dimensionless.

    Each part meets only the small square tiles that cover its bounding box; all tiles are computed together. A part
    thinner than a pixel is drawn as wide as one and thinner in attenuation, so that small films lose none of it.
    """
    (height, width), side = rays.shape, int(np.clip(len(rays.u) // 16, 4, 16))
    parts = _thickened(parts, 0.5 * rays.pitch)
    forms = _near_forms(parts.solids, rays)
    part, row, column = _tiles(parts, rays, side)
    down, across = np.divmod(np.arange(side * side), side)
    stride = width + side  # the canvas is wider than the film, so that tiles may stick out
    inside = down * stride + across
    i, j = across.astype(np.float32), down.astype(np.float32)
    grid = np.stack([np.ones_like(i), i, j, i * i, i * j, j * j])
    canvas = np.zeros(channels * (height + side) * stride)
    for first in range(0, len(part), CHUNK // side**2):
        tile = slice(first, first + CHUNK // side**2)
        weight = _tile_lengths(parts, forms, rays, part[tile], row[tile], column[tile], grid)
        index = ((parts.channel[part[tile]] * (height + side) + row[tile]) * stride + column[tile])[:, None] + inside
        canvas += np.bincount(index.ravel(), weight.ravel(), len(canvas))
    film = canvas.reshape(channels, height + side, stride)[:, :height, :width]
    return film.reshape(channels, -1) * rays.stretch()


def _near_forms(solids: Solids, rays: Rays) -> Array:
    """[6, 7, K]: coefficients over `monomials` of a, b, c, two rates and two gaps, t counted from each solid's depth.

    Near its solid every term is of the solid's own size, so that single precision is enough from there on.
    """
    found = ray_forms(solids, rays)
    depth = ((solids.centre - rays.origin) @ rays.axes[2])[:, None]
    a, b, c = found.quadric[:, 0], found.quadric[:, 1], found.quadric[:, 2]
    whole = np.zeros((6, 7, len(solids)), np.float32)
    whole[:, 0], whole[:, 1], whole[:, 2] = a.T, (b + depth * a).T, (c + depth * (2 * b + depth * a)).T
    whole[:3, 3:5] = found.rate.transpose(2, 1, 0)
    whole[:3, 5:7] = (found.gap - depth[:, :, None] * found.rate).transpose(2, 1, 0)
    return whole


def _tile_lengths(parts: Parts, forms: Array, rays: Rays, part: Index, row: Index, column: Index, grid: Array) -> Array:
    """Line integrals [T, side * side] of T tiles' parts; forms: [6, 7, K], grid: [6, side * side]."""
    pitch = np.float32(rays.pitch)
    u, v = rays.u.astype(np.float32)[column], rays.v.astype(np.float32)[row]
    c0, c1, c2, c3, c4, c5 = forms[:, :, part]
    # u and v of a tile's pixels are linear in their place (i across, j down), so the polynomials are moved to (i, j)
    uu, uv, vv = u * c3, v * c4, v * c5
    local = np.empty((7, len(part), 6), np.float32)
    local[:, :, 0] = c0 + u * (c1 + uu + uv) + v * (c2 + vv)
    local[:, :, 1] = pitch * (c1 + 2 * uu + uv)
    local[:, :, 2] = -pitch * (c2 + 2 * vv + u * c4)
    local[:, :, 3], local[:, :, 4], local[:, :, 5] = pitch**2 * c3, -(pitch**2) * c4, pitch**2 * c5
    values = (local.reshape(-1, 6) @ grid).reshape(7, len(part), -1)
    low, high = _cut_twice(values[3:5], values[5:7])
    a, b, c = np.maximum(values[0], TINY), values[1], values[2]
    square, middle = b * b - a * c, -b / a
    outer, inner, core = (x[part][:, None].astype(np.float32) for x in (parts.outer, parts.inner, parts.core))
    weight = outer * _chord(middle, square, a, low, high)
    if core.any():
        weight += (inner - outer) * _chord(middle, square - a * (1 - core * core), a, low, high)
    return np.asarray(weight)


def _cut_twice(rate: Array, gap: Array) -> tuple[Array, Array]:
    """(low, high) [T, P] of t where rate t <= gap for both of [2, T, P]."""
    t = gap / np.where(np.abs(rate) < TINY, np.float32(TINY), rate)
    falling = rate < 0
    low, high = np.where(falling, t, -INFINITE), np.where(falling, INFINITE, t)
    return np.maximum(low[0], low[1]), np.minimum(high[0], high[1])


def _chord(middle: Array, square: Array, a: Array, low: Array, high: Array) -> Array:
    half = np.sqrt(np.maximum(square, 0)) / a
    return np.maximum(np.minimum(middle + half, high) - np.maximum(middle - half, low), 0)


def _thickened(parts: Parts, least: float) -> Parts:
    """`parts` with every semi-axis at least `least` mm, and attenuation lowered to keep its integral."""
    inverse = np.sqrt((parts.solids.frame**2).sum(2))
    shrink = np.minimum(1 / (least * np.where(inverse > 0, inverse, TINY)), 1.0)
    kept = np.where(inverse > 0, shrink, 1.0)
    mass = kept.prod(1)
    if (mass == 1).all():
        return parts
    solids = replace(parts.solids, frame=parts.solids.frame * kept[:, :, None])
    reach = np.maximum(parts.reach, 1.15 * least)
    return replace(parts, solids=solids, reach=reach, outer=parts.outer * mass, inner=parts.inner * mass)


def _tiles(parts: Parts, rays: Rays, side: int) -> tuple[Index, Index, Index]:
    """(part, row, column) of the first pixel of the tiles that cover every part's bounding box."""
    u, v = rays.project(parts.ends)
    depth = ((parts.ends - rays.origin) @ rays.axes[2]).min(1)
    reach = parts.reach / (1 + depth / rays.source)
    height, width = rays.shape
    left = np.clip(np.ceil((u.min(1) - reach - rays.u[0]) / rays.pitch), 0, width).astype(np.int64)
    right = np.clip(np.floor((u.max(1) + reach - rays.u[0]) / rays.pitch) + 1, left, width).astype(np.int64)
    top = np.clip(np.ceil((rays.v[0] - v.max(1) - reach) / rays.pitch), 0, height).astype(np.int64)
    bottom = np.clip(np.floor((rays.v[0] - v.min(1) + reach) / rays.pitch) + 1, top, height).astype(np.int64)
    columns = -((left - right) // side)
    counts = columns * -((top - bottom) // side)
    part = np.repeat(np.arange(len(parts)), counts)
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    down, across = np.divmod(place, columns[part])
    return part, top[part] + side * down, left[part] + side * across
