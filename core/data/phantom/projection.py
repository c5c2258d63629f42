"""Line integrals of attenuation through one study's chest, and the part of them that each finding accounts for.

Every length is exact: an organ is one interval along a ray, what lies in several organs is counted once, and a
lung is what remains of its cavity when the organs that indent it are taken away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.data.phantom.body import Body
from core.data.phantom.effects import MU_SOFT, Disease, shrunk
from core.data.phantom.geometry import Array, Solids, cut, ellipsoids, gaps, joint_length, stack, union_length
from core.data.phantom.organs import SIDES, Organs, Structure, arm_solids, build_organs, dome_tops
from core.data.phantom.parts import Parts, attenuation, join, parts_of
from core.data.phantom.rays import Index, RayForms, Rays, intervals, ray_forms
from core.data.phantom.skeleton import arm_bones, trunk_bones
from core.data.phantom.vessels import MU_BLOOD, Tree, airways, lung_trees

BAND = 32768  # rays computed at once
PLEURAL_LINE = 1.0  # mm, the visceral pleura that a pneumothorax shows


@dataclass(frozen=True)
class Scene:
    """One study's chest, ready for rays.

    solids: the organs' (in their order), the arms' and the findings'. flesh: rows of what holds soft tissue.
    patches: by side, rows of the findings' solids. parts: small things, of channel 0 for anatomy, i + 1 for finding i.
    """

    body: Body
    organs: Organs
    solids: Solids
    flesh: list[int]
    patches: dict[str, list[int]]
    disease: Disease
    parts: Parts


@dataclass(frozen=True)
class Frame:
    """What a patient's films share: vessels, the trunk's bones, and flesh and bones of the arms by posture."""

    body: Body
    trees: dict[str, Tree]
    trunk: Parts
    arms: dict[str, tuple[Solids, Parts]]


def build_frame(seed: int, body: Body) -> Frame:
    """Build once for each patient what does not change between studies."""
    return Frame(
        body,
        lung_trees(seed, body),
        join([trunk_bones(body), airways(MU_SOFT)]),
        {posture: (arm_solids(body, posture), arm_bones(body, posture)) for posture in ("down", "raised")},
    )


def study_parts(frame: Frame, disease: Disease, pitch: float) -> Parts:
    """Bones, air and vessels of one study, and the small parts of its findings, but for the arms.

    pitch: mm, side of a pixel; vessels of a radius below a third of it are too fine for the film and left out.
    """
    body = frame.body
    small = [frame.trunk]
    if body.stomach_gas > 0.15:
        small.append(_stomach(body, disease.structure))
    for side in SIDES:
        pleura = disease.pleura[side]
        mu = MU_BLOOD - MU_SOFT * body.lung_density
        small.append(frame.trees[side].parts(mu, pleura.collapse, pleura.pivot, pitch / 3))
    for channel, effect in enumerate(disease.effects, start=1):
        if effect.parts is not None:
            small.append(effect.parts.to_channel(channel))
    return join(small)


def build_scene(frame: Frame, disease: Disease, parts: Parts, posture: str) -> Scene:
    """The chest of one study with the arms "down" or "raised"; parts: from `study_parts`."""
    organs = build_organs(frame.body, disease.structure)
    flesh, bones = frame.arms[posture]
    layers = [(layer.side, layer.solids) for effect in disease.effects for layer in effect.layers]
    solids = stack([organs.solids, flesh, *(part for _, part in layers)])
    own = [*organs.rows("body"), *range(len(organs.solids), len(organs.solids) + len(flesh))]
    owner = [side for side, part in layers for _ in range(len(part))]
    first = len(solids) - len(owner)
    patches = {side: [first + i for i, name in enumerate(owner) if name == side] for side in SIDES}
    return Scene(frame.body, organs, solids, own, patches, disease, join([parts, bones]))


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
    monomials, stretch = rays.monomials(), rays.stretch()
    forms = ray_forms(scene.solids, rays)
    small = attenuation(scene.parts, rays, 1 + len(scene.disease.effects))
    total, found = small[0], small[1:]
    enter, leave = forms.take(scene.flesh).intervals(monomials)
    total += MU_SOFT * stretch * joint_length(enter, leave)
    for side in SIDES:
        film = _open_cavity(scene, side, rays, forms, monomials)
        if len(film.hit):
            air, changes = _lung(scene, side, film)
            total[film.hit] -= stretch[film.hit] * air
            found[:, film.hit] += stretch[film.hit] * changes
    total += found.sum(0)
    return total.reshape(rays.shape), found.reshape(-1, *rays.shape)


@dataclass(frozen=True)
class _Cavity:
    """The rays that meet one pleural cavity: its interval on them, and what the organs leave free of it.

    hit: [P], which of the film's rays. monomials: [6, P]. low, high: [P]. free_low, free_high: [m, P], disjoint
    stretches of t, some empty. organs, patches: (enter, leave) [n, P] of what indents the lung, of what findings fill.
    """

    rays: Rays
    hit: Index
    monomials: Array
    low: Array
    high: Array
    free_low: Array
    free_high: Array
    organs: tuple[Array, Array]
    patches: tuple[Array, Array]

    def within(self, solids: Solids, low: Array, high: Array) -> tuple[Array, Array]:
        """The part of the intervals [low, high] inside all of `solids`."""
        enter, leave = intervals(solids, self.rays, self.monomials)
        return np.maximum(enter.max(0), low), np.minimum(leave.min(0), high)

    def left(self, low: Array, high: Array) -> Array:
        """Length of [low, high] outside the organs: [P]."""
        lengths = np.minimum(self.free_high, high) - np.maximum(self.free_low, low)
        return np.asarray(np.maximum(lengths, 0).sum(0))

    def filled(self, low: Array, high: Array, patch: slice) -> Array:
        """Length of [low, high] outside the organs and inside the union of some of the patches: [P]."""
        enter, leave = self.patches[0][patch], self.patches[1][patch]
        hit = np.flatnonzero((np.maximum(enter, low) < np.minimum(leave, high)).any(0))
        found = np.zeros_like(low)
        first, last = np.maximum(self.free_low[:, hit], low[hit]), np.minimum(self.free_high[:, hit], high[hit])
        enter, leave = enter[:, hit], leave[:, hit]
        if len(enter) == 1:
            found[hit] = np.maximum(np.minimum(last, leave) - np.maximum(first, enter), 0).sum(0)
            return found
        for row in np.flatnonzero((last > first).any(1)):
            found[hit] += union_length(first[row], last[row], enter, leave)
        return found


def _open_cavity(scene: Scene, side: str, rays: Rays, forms: RayForms, monomials: Array) -> _Cavity:
    enter, leave = forms.take(scene.organs.shell(side)).intervals(monomials)
    low, high = enter.max(0), leave.min(0)
    hit = np.flatnonzero(high > low)
    near, low, high = monomials[:, hit], low[hit], high[hit]
    organs = scene.organs.indenting(side)
    enter, leave = forms.take([*organs, *scene.patches[side]]).intervals(near)
    split = len(organs)
    free = gaps(low, high, enter[:split], leave[:split])
    halves = (enter[:split], leave[:split]), (enter[split:], leave[split:])
    return _Cavity(rays, hit, near, low, high, *free, *halves)


def _lung(scene: Scene, side: str, cavity: _Cavity) -> tuple[Array, Array]:
    """(what the air of one healthy lung takes from flesh [P], what each finding adds there [F, P]), per mm of t."""
    effects, pleura = scene.disease.effects, scene.disease.pleura[side]
    names = [e.finding for e in effects]
    lung = MU_SOFT * scene.body.lung_density
    fluid_in = MU_SOFT - lung
    low, high = cavity.low, cavity.high
    whole = cavity.left(low, high)
    air, found = fluid_in * whole, np.zeros((len(effects), len(low)))
    if pleura.aerated is not None:
        low, high = cavity.within(pleura.aerated, low, high)
        found[names.index("Pleural Effusion")] += fluid_in * (whole - cavity.left(low, high))
    if pleura.collapse < 1:
        low, high, change = _collapse(scene, side, cavity, low, high)
        found[names.index("Pneumothorax")] += change
    first = 0
    for row, effect in enumerate(effects):
        for layer in effect.layers:
            if layer.side == side:
                patch = slice(first, first + len(layer.solids))
                found[row] += fluid_in * layer.fill * cavity.filled(low, high, patch)
                first = patch.stop
        if effect.without is not None:
            taken = fluid_in * _displaced(scene, side, effect.without, cavity, low, high)
            found[row] += taken
            air = air + taken  # the organs have their diseased shape already: what findings add is added once
    return air, found


def _collapse(scene: Scene, side: str, cavity: _Cavity, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """Interval of a collapsed lung, and the change of attenuation: air outside it, denser lung, its pleural line."""
    lung, pleura = MU_SOFT * scene.body.lung_density, scene.disease.pleura[side]
    shell = scene.organs.solids.take(scene.organs.shell(side))
    inner = cavity.within(shrunk(shell, pleura.collapse, pleura.pivot), low, high)
    outer = cavity.within(shrunk(shell, pleura.collapse + PLEURAL_LINE / 100, pleura.pivot), low, high)
    after = cavity.left(*inner)
    denser = min(pleura.collapse**-1.5, 2.0) - 1
    delta = lung * (denser * after - (cavity.left(low, high) - after)) + MU_SOFT * (cavity.left(*outer) - after)
    return *inner, delta


def _displaced(scene: Scene, side: str, without: Structure, cavity: _Cavity, low: Array, high: Array) -> Array:
    """Length of lung in [low, high] that the finding's change of organ shapes took, mm: [P].

    Only organs that moved are met again, and only rays that meet one of them are sorted again.
    """
    now, before = (x.solids.take(x.indenting(side)) for x in (scene.organs, build_organs(scene.body, without)))
    moved = now.differing(before)
    enter, leave = intervals(before.take(moved), cavity.rays, cavity.monomials)
    first, last = np.minimum(enter, cavity.organs[0][moved]), np.maximum(leave, cavity.organs[1][moved])
    rays = np.flatnonzero((np.maximum(first, low) < np.minimum(last, high)).any(0))
    healthy = [x[:, rays] for x in cavity.organs]
    healthy[0][moved], healthy[1][moved] = enter[:, rays], leave[:, rays]
    free_low, free_high = gaps(low[rays], high[rays], *healthy)
    taken = np.zeros_like(low)
    taken[rays] = np.maximum(free_high - free_low, 0).sum(0) - cavity.left(low, high)[rays]
    return taken
