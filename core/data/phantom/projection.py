"""Line integrals of attenuation through one study's chest, and the part of them that each finding accounts for.

Every length is exact: an organ is one interval along a ray, what lies in several organs is counted once, and a
lung is what remains of its cavity when the organs that indent it are taken away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.data.phantom.body import Body
from core.data.phantom.effects import MU_SOFT, Disease, Pleura, lung_shell, shrunk
from core.data.phantom.geometry import Array, Solids, cut, ellipsoids, union_length
from core.data.phantom.organs import SIDES, Organs, Structure, build_organs, dome_tops, indenting
from core.data.phantom.rays import Parts, Rays, attenuation, intervals, join, parts_of
from core.data.phantom.skeleton import build_bones
from core.data.phantom.vessels import HILUM, MU_BLOOD, airways, vessel_parts

BAND = 32768  # rays computed at once
PLEURAL_LINE = 1.0  # mm, the visceral pleura that a pneumothorax shows


@dataclass(frozen=True)
class Scene:
    """One study's chest, ready for rays: its organs, small parts (channel 0 anatomy, i + 1 finding i), disease."""

    body: Body
    organs: Organs
    disease: Disease
    parts: Parts


def build_scene(body: Body, disease: Disease, tree: dict[str, tuple[Array, Array, Array]]) -> Scene:
    """Assemble the chest of one study in the posture that `disease.structure` says."""
    structure = disease.structure
    small = [build_bones(body, structure), airways(structure, MU_SOFT)]
    if body.stomach_gas > 0.15:
        small.append(_stomach(body, structure))
    for side in SIDES:
        pleura = disease.pleura[side]
        mu = MU_BLOOD - MU_SOFT * body.lung_density
        small.append(vessel_parts(tree[side], mu, pleura.collapse, pleura.pivot))
    for channel, effect in enumerate(disease.effects, start=1):
        if effect.parts is not None:
            small.append(effect.parts.to_channel(channel))
    return Scene(body, build_organs(body, structure), disease, join(small))


def _stomach(body: Body, structure: Structure) -> Parts:
    size = 16 + 14 * body.stomach_gas
    top = dome_tops(body, structure)["left"] - 9
    gas = ellipsoids([[58 * body.width, -8, top - 0.8 * size]], [[1.3 * size, 1.1 * size, 0.8 * size]])
    return parts_of(cut(gas, (0, 0, -1), -(top - size)), -MU_SOFT)


def project(scene: Scene, rays: Rays) -> tuple[Array, Array]:
    """(total [H, W], of each finding [F, H, W]): line integrals of attenuation, dimensionless.

    The second is what the first would lose without the finding (negative for air in the pleura).
    """
    height, width = rays.shape
    rows = max(1, BAND // width)
    bands = [_project_band(scene, rays.band(i, min(i + rows, height))) for i in range(0, height, rows)]
    return np.concatenate([b[0] for b in bands]), np.concatenate([b[1] for b in bands], axis=1)


def _project_band(scene: Scene, rays: Rays) -> tuple[Array, Array]:
    effects = scene.disease.effects
    monomials, stretch = rays.monomials(), rays.stretch()
    small = attenuation(scene.parts, rays, 1 + len(effects))
    total, found = small[0], small[1:]
    enter, leave = intervals(scene.organs.solids.take(scene.organs.starting("body")), rays, monomials)
    far = np.full(monomials.shape[1], 1e4)
    total += MU_SOFT * stretch * union_length(-far, far, enter, leave)
    for side in SIDES:
        _add_lung(scene, side, rays, monomials, stretch, total, found)
    shape = rays.shape
    total += found.sum(0)
    return total.reshape(shape), found.reshape(-1, *shape)


@dataclass(frozen=True)
class _Cavity:
    """The rays that meet one pleural cavity, its interval on them, and what indents it there."""

    rays: Rays
    monomials: Array
    low: Array
    high: Array
    enter: Array
    leave: Array

    def narrowed(self, solids: Solids) -> tuple[Array, Array]:
        """The cavity's interval inside all of `solids`."""
        return _meet(intervals(solids, self.rays, self.monomials), self.low, self.high)

    def left(self, low: Array, high: Array) -> Array:
        """Length of [low, high] outside the organs."""
        return np.maximum(high - low, 0) - union_length(low, high, self.enter, self.leave)

    def filled(self, low: Array, high: Array, solids: Solids) -> Array:
        """Length of [low, high] outside the organs and inside the union of `solids`."""
        enter, leave = intervals(solids, self.rays, self.monomials)
        enter, leave = np.concatenate([self.enter, enter]), np.concatenate([self.leave, leave])
        return union_length(low, high, enter, leave) - union_length(low, high, self.enter, self.leave)

    def indented(self, organs: Organs, rows: list[int]) -> _Cavity:
        """The same cavity indented by other organs."""
        enter, leave = intervals(organs.solids.take(rows), self.rays, self.monomials)
        return _Cavity(self.rays, self.monomials, self.low, self.high, enter, leave)


def _meet(found: tuple[Array, Array], low: Array, high: Array) -> tuple[Array, Array]:
    return np.maximum(found[0].max(0), low), np.minimum(found[1].min(0), high)


def _open_cavity(organs: Organs, side: str, rays: Rays, monomials: Array) -> tuple[_Cavity, Array]:
    enter, leave = intervals(lung_shell(organs, side), rays, monomials)
    low, high = enter.max(0), leave.min(0)
    hit = np.flatnonzero(high > low)
    near = monomials[:, hit]
    enter, leave = intervals(organs.solids.take(indenting(organs, side)), rays, near)
    return _Cavity(rays, near, low[hit], high[hit], enter, leave), hit


def _add_lung(
    scene: Scene, side: str, rays: Rays, monomials: Array, stretch: Array, total: Array, found: Array
) -> None:
    """Add one lung's air (negative) to `total`, and what findings do in that cavity to `found`, in place."""
    cavity, hit = _open_cavity(scene.organs, side, rays, monomials)
    if len(hit) == 0:
        return
    reach, pleura = stretch[hit], scene.disease.pleura[side]
    lung = MU_SOFT * scene.body.lung_density
    low, high, gone = cavity.low, cavity.high, np.zeros(len(hit))
    whole = cavity.left(low, high)
    names = [e.finding for e in scene.disease.effects]
    if pleura.aerated is not None:
        low, high = cavity.narrowed(pleura.aerated)
        fluid = whole - cavity.left(low, high)
        found[names.index("Pleural Effusion"), hit] += (MU_SOFT - lung) * reach * fluid
    if pleura.collapse < 1:
        low, high, delta = _collapse(scene, side, cavity, pleura, low, high)
        found[names.index("Pneumothorax"), hit] += reach * delta
    total[hit] -= (MU_SOFT - lung) * reach * whole
    for row, effect in enumerate(scene.disease.effects):
        gone = np.zeros(len(hit))
        for layer in effect.layers:
            if layer.side == side:
                gone += layer.fill * cavity.filled(low, high, layer.solids)
        if effect.without is not None:
            gone += _displaced(scene, side, effect.without, cavity, low, high)
        found[row, hit] += (MU_SOFT - lung) * reach * gone


def _collapse(
    scene: Scene, side: str, cavity: _Cavity, pleura: Pleura, low: Array, high: Array
) -> tuple[Array, Array, Array]:
    """Interval of a collapsed lung, and the change of attenuation: air outside it, denser lung, its pleural line."""
    lung = MU_SOFT * scene.body.lung_density
    shell = lung_shell(scene.organs, side)
    before = cavity.left(low, high)
    inner_low, inner_high = _meet(
        intervals(shrunk(shell, pleura.collapse, pleura.pivot), cavity.rays, cavity.monomials), low, high
    )
    rim = pleura.collapse + PLEURAL_LINE / 100
    outer = _meet(intervals(shrunk(shell, rim, pleura.pivot), cavity.rays, cavity.monomials), low, high)
    after = cavity.left(inner_low, inner_high)
    line = cavity.left(*outer) - after
    denser = min(pleura.collapse**-1.5, 2.0)
    delta = -lung * (before - after) + lung * (denser - 1) * after + MU_SOFT * line
    return inner_low, inner_high, delta


def _displaced(scene: Scene, side: str, without: Structure, cavity: _Cavity, low: Array, high: Array) -> Array:
    """Length of lung that the finding's change of organ shapes took, mm."""
    before = build_organs(scene.body, without)
    healthy = cavity.indented(before, indenting(before, side))
    return healthy.left(low, high) - cavity.left(low, high)


__all__ = ["HILUM", "Scene", "build_scene", "project"]
