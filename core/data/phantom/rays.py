"""The rays of one film, and where they enter and leave solids: dense for organs, ragged for small parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.data.phantom.geometry import TINY, Array, Solids, stack


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
        """1, u, v, u u, u v, v v of every ray: [6, H * W]."""
        v, u = np.meshgrid(self.v, self.u, indexing="ij")
        return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v]).reshape(6, -1)


def film_rays(axes: Array, origin: Array, source: float, size: int, field: float) -> Rays:
    """The rays of a square film of `size` px whose field of view is `field` mm wide in the middle plane."""
    across = (np.arange(size) - (size - 1) / 2) * (field / size)
    return Rays(np.asarray(origin, float), np.asarray(axes, float), source, across, -across)


@dataclass(frozen=True)
class RayForms:
    """Polynomials in (u, v), one row a solid, from which entry and exit follow in closed form.

    quadric: [K, 3, 6], the a, b, c of a t^2 + 2 b t + c <= 0. rate, gap: [K, 2, 3], of rate t <= gap.
    """

    quadric: Array
    rate: Array
    gap: Array


def ray_forms(solids: Solids, rays: Rays) -> RayForms:
    """The closed forms of `solids` for `rays`."""
    base = np.concatenate([rays.origin[None], rays.axes[:2]])
    slope = np.concatenate([rays.axes[2:], rays.axes[:2] / rays.source])
    starts = np.repeat(base[None], len(solids), axis=0)
    starts[:, 0] -= solids.centre
    turned = solids.frame.transpose(0, 2, 1)
    p, q = starts @ turned, slope @ turned
    forms = np.stack([_product(q, q), _product(p, q), _product(p, p)], axis=1)
    forms[:, 2, 0] -= 1
    gap = -(solids.normals @ base.T)
    gap[:, :, 0] += solids.offsets
    return RayForms(forms, solids.normals @ slope.T, gap)


def _product(left: Array, right: Array) -> Array:
    """Coefficients [K, 6] of the dot product of two vectors that are linear in (1, u, v): [K, 3, 3] each."""
    gram = left @ right.transpose(0, 2, 1)
    both = gram + gram.transpose(0, 2, 1)
    columns = [gram[:, 0, 0], both[:, 0, 1], both[:, 0, 2], gram[:, 1, 1], both[:, 1, 2], gram[:, 2, 2]]
    return np.stack(columns, axis=1)


def _roots(a: Array, b: Array, c: Array) -> tuple[Array, Array]:
    a = np.maximum(a, TINY)
    square = b * b - a * c
    half = np.sqrt(np.maximum(square, 0)) / a
    middle = -b / a
    half[square <= 0] = -np.inf
    return middle - half, middle + half


def _cut(enter: Array, leave: Array, rate: Array, gap: Array) -> tuple[Array, Array]:
    rate = np.where(np.abs(rate) < TINY, TINY, rate)
    t = gap / rate
    enter = np.maximum(enter, np.where(rate < 0, t, -np.inf))
    leave = np.minimum(leave, np.where(rate > 0, t, np.inf))
    return enter, leave


def intervals(solids: Solids, rays: Rays, monomials: Array) -> tuple[Array, Array]:
    """(enter, leave), each [K, H * W]: t where every ray enters and leaves every solid; a miss has enter > leave."""
    forms = ray_forms(solids, rays)
    values = (forms.quadric.reshape(-1, 6) @ monomials).reshape(len(solids), 3, -1)
    enter, leave = _roots(values[:, 0], values[:, 1], values[:, 2])
    for slot in range(2):
        rows = np.flatnonzero(np.isfinite(solids.offsets[:, slot]))
        if len(rows):
            rate, gap = forms.rate[rows, slot] @ monomials[:3], forms.gap[rows, slot] @ monomials[:3]
            enter[rows], leave[rows] = _cut(enter[rows], leave[rows], rate, gap)
    return enter, leave


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


def parts_of(solids: Solids, mu: float, inner: float | None = None, core: float = 0.0) -> Parts:
    """Parts of channel 0 from tubes or ellipsoids; `mu`, 1/mm, in the shell and `inner` in the core."""
    inverse = np.linalg.norm(solids.frame, axis=2)
    count = len(solids)
    axis = np.cross(solids.frame[:, 0], solids.frame[:, 1])
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    rate = (solids.normals * axis[:, None]).sum(-1)
    gap = solids.offsets - (solids.normals * solids.centre[:, None]).sum(-1)
    bounded = (inverse[:, 2:] == 0) & (rate != 0)
    shift = np.divide(gap, rate, out=np.zeros_like(gap), where=bounded & np.isfinite(gap))
    widest = 1 / np.where(inverse > 0, inverse, np.inf).min(1)
    return Parts(
        solids,
        solids.centre[:, None] + shift[:, :, None] * axis[:, None],
        widest * 1.3,
        np.full(count, mu),
        np.full(count, mu if inner is None else inner),
        np.full(count, core),
        np.zeros(count, dtype=np.int64),
    )


def join(parts: list[Parts]) -> Parts:
    """All parts in one batch, in order."""
    return Parts(
        stack([p.solids for p in parts]),
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("ends", "reach", "outer", "inner", "core")),
        np.concatenate([p.channel for p in parts]),
    )


def attenuation(parts: Parts, rays: Rays, channels: int) -> Array:
    """Line integrals of `parts` in their channels: [channels, H * W], dimensionless.

    Each part meets only the pixels in its bounding box; all (part, pixel) pairs are computed at once.
    """
    height, width = rays.shape
    part, row, column = _pairs(parts, rays)
    u, v = rays.u[column], rays.v[row]
    forms = ray_forms(parts.solids, rays)
    quadric = forms.quadric.reshape(-1, 18)[part]
    uu, uv, vv = u * u, u * v, v * v
    a, b, c = (
        quadric[:, i]
        + quadric[:, i + 1] * u
        + quadric[:, i + 2] * v
        + quadric[:, i + 3] * uu
        + quadric[:, i + 4] * uv
        + quadric[:, i + 5] * vv
        for i in (0, 6, 12)
    )
    low, high = np.full_like(u, -np.inf), np.full_like(u, np.inf)
    for slot in range(2):
        rate, gap = forms.rate[:, slot][part], forms.gap[:, slot][part]
        cuts = (form[:, 0] + form[:, 1] * u + form[:, 2] * v for form in (rate, gap))
        low, high = _cut(low, high, *cuts)
    weight = parts.outer[part] * _clipped(a, b, c, low, high)
    core = parts.core[part]
    cored = np.flatnonzero(core > 0)
    if len(cored):
        extra = (parts.inner - parts.outer)[part[cored]]
        inside = c[cored] + 1 - core[cored] ** 2
        weight[cored] += extra * _clipped(a[cored], b[cored], inside, low[cored], high[cored])
    weight *= np.sqrt(1 + (uu + vv) / rays.source**2)
    index = (parts.channel[part] * height + row) * width + column
    return np.bincount(index, weight, channels * height * width).reshape(channels, -1)


def _clipped(a: Array, b: Array, c: Array, low: Array, high: Array) -> Array:
    enter, leave = _roots(a, b, c)
    return np.maximum(np.minimum(leave, high) - np.maximum(enter, low), 0)


def _pairs(parts: Parts, rays: Rays) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(part, row, column) of every pixel in every part's bounding box."""
    u, v = rays.project(parts.ends)
    depth = ((parts.ends - rays.origin) @ rays.axes[2]).min(1)
    reach = (parts.reach / (1 + depth / rays.source)) + rays.pitch
    height, width = rays.shape
    left = np.clip(np.ceil((u.min(1) - reach - rays.u[0]) / rays.pitch), 0, width).astype(np.int64)
    right = np.clip(np.floor((u.max(1) + reach - rays.u[0]) / rays.pitch) + 1, left, width).astype(np.int64)
    top = np.clip(np.ceil((rays.v[0] - v.max(1) - reach) / rays.pitch), 0, height).astype(np.int64)
    bottom = np.clip(np.floor((rays.v[0] - v.min(1) + reach) / rays.pitch) + 1, top, height).astype(np.int64)
    columns = right - left
    counts = columns * (bottom - top)
    part = np.repeat(np.arange(len(parts)), counts)
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    down, across = np.divmod(place, columns[part])
    return part, top[part] + down, left[part] + across
