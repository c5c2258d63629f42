"""Small parts of the chest, which attenuate little by little: where their shadows fall, and how deep they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.data.phantom.geometry import Array, Solids, cross, stack, unit
from core.data.phantom.rays import TINY, Index, Rays, bounds, ray_forms

CHUNK = 8192  # (part, pixel) pairs computed at once: temporaries stay in the cache


@dataclass(frozen=True)
class Parts:
    """K small solids whose attenuation is added: bones, vessels, devices.

    outer: [K], 1/mm, attenuation over its surroundings; inner: [K], the same for the core that is `core` [K] as
    wide (bone is a shell round marrow). channel: [K] int, the image to which it is added.
    """

    solids: Solids
    outer: Array
    inner: Array
    core: Array
    channel: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.outer)

    def to_channel(self, channel: int, factor: float = 1.0) -> Parts:
        """These parts added to another image, their attenuation times `factor`."""
        channels = np.full(len(self), channel, dtype=np.int64)
        return Parts(self.solids, self.outer * factor, self.inner * factor, self.core, channels)


def parts_of(solids: Solids, mu: ArrayLike, inner: ArrayLike | None = None, core: ArrayLike = 0.0) -> Parts:
    """Parts of channel 0 from tubes or ellipsoids; `mu`, 1/mm, in the shell, `inner` in the core, for all or each."""
    count = len(solids)
    outer, core = np.full(count, mu, float), np.full(count, core, float)
    return Parts(
        solids, outer, outer if inner is None else np.full(count, inner, float), core, np.zeros(count, np.int64)
    )


def mixed_parts(groups: Sequence[tuple[Solids, float, float, float]]) -> Parts:
    """Parts of channel 0 from groups of solids, each with its (mu, inner, core) as in `parts_of`."""
    counts = [len(solids) for solids, *_ in groups]
    mu, inner, core = (np.repeat([group[i] for group in groups], counts) for i in (1, 2, 3))
    return parts_of(stack([solids for solids, *_ in groups]), mu, inner, core)


def join(parts: list[Parts]) -> Parts:
    """All parts in one batch, in order."""
    names = ("outer", "inner", "core", "channel")
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
    inside = (down * stride + across)[:, None]
    i, j = across.astype(np.float32), down.astype(np.float32)
    grid = np.stack([np.ones_like(i), i, j, i * i, i * j, j * j], axis=1)
    corner = (parts.channel[part] * (height + side) + row) * stride + column
    canvas = np.zeros(channels * (height + side) * stride)
    for first in range(0, len(part), CHUNK // side**2):
        tile = slice(first, first + CHUNK // side**2)
        weight = _tile_lengths(parts, forms, rays, part[tile], row[tile], column[tile], grid)
        canvas += np.bincount((inside + corner[tile]).ravel(), weight.ravel(), len(canvas))
    film = canvas.reshape(channels, height + side, stride)[:, :height, :width]
    return film.reshape(channels, -1) * rays.stretch()


def _near_forms(solids: Solids, rays: Rays) -> Array:
    """[6, 7, K]: coefficients over `monomials` of a, b, c, two rates and two gaps, t counted from each solid's depth.

    Near its solid every term is of the solid's own size, so that single precision is enough from there on.
    """
    found = ray_forms(solids, rays)
    depth = ((solids.centre - rays.origin) @ rays.axes[2])[:, None]
    a, b, c = found.quadric
    whole = np.zeros((6, 7, len(solids)), np.float32)
    whole[:, 0], whole[:, 1], whole[:, 2] = a.T, (b + depth * a).T, (c + depth * (2 * b + depth * a)).T
    rate, gap = found.limits[:, 0], found.limits[:, 1]
    whole[:3, 3:5] = rate.transpose(2, 0, 1)
    whole[:3, 5:7] = (gap - depth * rate).transpose(2, 0, 1)
    return whole


def _tile_lengths(parts: Parts, forms: Array, rays: Rays, part: Index, row: Index, column: Index, grid: Array) -> Array:
    """Line integrals [side * side, T] of T tiles' parts; forms: [6, 7, K], grid: [side * side, 6]."""
    pitch = np.float32(rays.pitch)
    u, v = rays.u.astype(np.float32)[column], rays.v.astype(np.float32)[row]
    c0, c1, c2, c3, c4, c5 = forms.take(part, 2)  # unlike an index, this lays tiles next to each other
    # u and v of a tile's pixels are linear in their place (i across, j down), so the polynomials are moved to (i, j)
    uu, uv, vv = u * c3, v * c4, v * c5
    local = np.empty((6, 7, len(part)), np.float32)
    local[0] = c0 + u * (c1 + uu + uv) + v * (c2 + vv)
    local[1] = pitch * (c1 + 2 * uu + uv)
    local[2] = -pitch * (c2 + 2 * vv + u * c4)
    local[3], local[4], local[5] = pitch**2 * c3, -(pitch**2) * c4, pitch**2 * c5
    values = (grid @ local.reshape(6, -1)).reshape(-1, 7, len(part)).swapaxes(0, 1)
    low, high = bounds(values[3:5], values[5:7])
    cuts = np.maximum(low[0], low[1]), np.minimum(high[0], high[1])
    inverse = 1 / np.abs(values[0])
    middle = values[1] * -inverse
    square = middle * middle - values[2] * inverse
    outer, inner, core = (x[part].astype(np.float32) for x in (parts.outer, parts.inner, parts.core))
    weight = outer * _chord(middle, square, *cuts)
    if core.any():
        square -= (1 - core * core) * inverse
        weight += (inner - outer) * _chord(middle, square, *cuts)
    return np.asarray(weight)


def _chord(middle: Array, square: Array, low: Array, high: Array) -> Array:
    """Length of the part of middle - root .. middle + root inside low .. high, where root^2 = square."""
    zero = np.zeros_like(square)
    half = np.maximum(square, zero)
    np.sqrt(half, out=half)
    last = np.minimum(middle + half, high)
    last -= np.maximum(middle - half, low)
    return np.asarray(np.maximum(last, zero, out=last))


def _thickened(parts: Parts, least: float) -> Parts:
    """`parts` with every semi-axis at least `least` mm, and attenuation lowered to keep its integral."""
    inverse = np.sqrt(np.einsum("kij,kij->ki", parts.solids.frame, parts.solids.frame))
    kept = np.minimum(1 / (least * np.maximum(inverse, TINY)), 1.0)
    kept[inverse == 0] = 1.0
    mass = kept[:, 0] * kept[:, 1] * kept[:, 2]
    if (mass == 1).all():
        return parts
    solids = replace(parts.solids, frame=parts.solids.frame * kept[:, :, None])
    return replace(parts, solids=solids, outer=parts.outer * mass, inner=parts.inner * mass)


def _bounds_in_space(solids: Solids) -> tuple[Array, Array]:
    """(ends [K, 2, 3], reach [K]), mm: each solid lies within `reach` of the line between its two ends."""
    inverse = np.sqrt(np.einsum("kij,kij->ki", solids.frame, solids.frame))
    reach = 1.15 / np.where(inverse > 0, inverse, np.inf).min(1)
    ends = np.repeat(solids.centre[:, None], 2, axis=1)
    pipe = np.flatnonzero((inverse[:, 2] == 0) & np.isfinite(solids.offsets).all(1))
    normals, centre = solids.normals[pipe], solids.centre[pipe]
    axis = unit(cross(solids.frame[pipe, 0], solids.frame[pipe, 1]))
    gap = solids.offsets[pipe] - (normals * centre[:, None]).sum(-1)
    ends[pipe] += (gap / (normals * axis[:, None]).sum(-1))[:, :, None] * axis[:, None]
    return ends, reach


def _tiles(parts: Parts, rays: Rays, side: int) -> tuple[Index, Index, Index]:
    """(part, row, column) of the first pixel of the tiles that cover every part's bounding box."""
    ends, reach = _bounds_in_space(parts.solids)
    u, v = rays.project(ends)
    depth = ((ends - rays.origin) @ rays.axes[2]).min(1)
    reach = reach / (1 + depth / rays.source)
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
