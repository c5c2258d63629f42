"""Findings placed in 3-D: for each of CheXpert's labels, where it sits and what it does to the chest.

Severity s runs from 0 (at the edge of being seen) to 1 (gross). The places are those of textbooks: effusions in the
sulci and behind, atelectasis at the bases, edema about the hila, and a set share of focal findings where one view
hides them: behind the heart, and in the posterior costophrenic recess below the domes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from core.data.phantom.body import Body
from core.data.phantom.devices import place_devices
from core.data.phantom.effects import Disease, Effect, Layer, Pleura, cluster, mirrored
from core.data.phantom.geometry import Array, ellipsoids, rotation, segments
from core.data.phantom.organs import SIDES, SIGN, Organs, Structure, build_organs, dome_tops
from core.data.phantom.parts import join, parts_of
from core.data.phantom.skeleton import rib_lines, rib_parts, vertebra_parts
from core.data.phantom.vessels import HILUM, MU_BLOOD, Tree, lung_points


@dataclass(frozen=True)
class Case:
    """One finding that a study has. episode: counts its onsets in this patient, so that its place persists."""

    finding: str
    severity: float
    episode: int


@dataclass
class Chest:
    """What placing needs: the patient, the organs before disease, the random stream of the finding's episode."""

    body: Body
    organs: Organs
    structure: Structure
    rng: np.random.Generator
    hidden_share: float
    tree: dict[str, Tree]

    def side(self) -> str:
        """A side drawn evenly."""
        return SIDES[int(self.rng.integers(2))]

    def place(self, side: str, where: str) -> Array:
        """A point of one lung in a zone: anywhere | low | hidden (behind the heart, or in the posterior recess)."""
        for _ in range(6):
            points = lung_points(self.body, self.organs, side, self.rng, 400)
            fit = points[ZONES[where](self, side, points)]
            if len(fit):
                return np.asarray(fit[0])
        return np.asarray(points[0])

    def zone(self, ordinary: str) -> str:
        """`ordinary`, or a hidden place for the set share."""
        return "hidden" if self.rng.random() < self.hidden_share else ordinary


def _anywhere(_chest: Chest, _side: str, points: Array) -> Array:
    return np.asarray(np.abs(points[:, 0]) > 30)


def _low(chest: Chest, side: str, points: Array) -> Array:
    floor = dome_tops(chest.body, chest.structure)[side] - 12
    return np.asarray((points[:, 2] < -20) & (points[:, 2] > floor))


def _hidden(chest: Chest, side: str, points: Array) -> Array:
    y, z = points[:, 1], points[:, 2]
    recess = (y < -45) & (z < dome_tops(chest.body, chest.structure)[side] - 14)
    before = points * [1.15, 0, 1] + [0, HEART_DEPTH, 0]  # well inside the heart's shadow
    behind_heart = (y < -28) & (y > -60) & chest.organs.solids.take(chest.organs.rows("heart")).contains(before).any(0)
    return np.asarray(recess | (behind_heart & (side == "left")))


HEART_DEPTH = 22.0  # mm, of the heart's middle in front of the chest's
ZONES: dict[str, Callable[[Chest, str, Array], Array]] = {
    "anywhere": _anywhere,
    "low": _low,
    "hidden": _hidden,
}


def _consolidation(chest: Chest, s: float) -> Effect:
    side, rng = chest.side(), chest.rng
    centre = chest.place(side, chest.zone("anywhere"))
    size = 16 + 17 * s
    patch = cluster(centre, size, 6, rng)
    layers = (
        Layer(side, patch, 0.34 + 0.42 * s),
        Layer(side, ellipsoids([centre], [[1.9 * size] * 3]), 0.07 + 0.08 * s),
    )
    toward = HILUM[side] - centre
    ends = centre + rng.normal(0, 0.7 * size, (4, 3))
    starts = centre + 0.25 * toward + rng.normal(0, 3, (4, 3))
    bronchi = parts_of(segments(starts, ends, np.full(4, 1.9)), -0.012 * s)
    return Effect("Consolidation", s, side, layers, bronchi)


def _pneumonia(chest: Chest, s: float) -> Effect:
    rng, first = chest.rng, chest.side()
    sides = SIDES if rng.random() < 0.25 + 0.3 * s else (first,)
    layers = []
    for side in sides:
        centre = chest.place(side, chest.zone("low" if rng.random() < 0.6 else "anywhere"))
        layers.append(Layer(side, cluster(centre, 10 + 10 * s, 9, rng, 1.5), 0.28 + 0.32 * s))
        layers.append(Layer(side, ellipsoids([centre], [[30 + 20 * s, 30 + 20 * s, 26 + 18 * s]]), 0.05 + 0.12 * s))
    return Effect("Pneumonia", s, "both" if len(sides) == 2 else first, tuple(layers))


def _opacity(chest: Chest, s: float) -> Effect:
    side, rng = chest.side(), chest.rng
    centre = chest.place(side, chest.zone("anywhere"))
    size = 24 + 22 * s
    shapes = [
        ellipsoids([centre + rng.normal(0, 4, 3)], [size * f * rng.uniform(0.7, 1.1, 3)]) for f in (1.0, 0.72, 0.45)
    ]
    return Effect("Lung Opacity", s, side, tuple(Layer(side, shape, 0.09 + 0.13 * s) for shape in shapes))


def _lesion(chest: Chest, s: float) -> Effect:
    rng, sides, shapes = chest.rng, [], []
    for _ in range(1 + int(rng.random() < 0.25) * int(rng.integers(1, 4))):
        side, radius = chest.side(), (6 + 16 * s) * rng.uniform(0.8, 1.1)
        centre = chest.place(side, chest.zone("anywhere"))
        sides.append(side)
        shapes.append(Layer(side, cluster(centre, radius, 4, rng, 0.28), 0.95))
    return Effect("Lung Lesion", s, sides[0] if len(set(sides)) == 1 else "both", tuple(shapes))


def _atelectasis(chest: Chest, s: float) -> Effect:
    side, rng, layers = chest.side(), chest.rng, []
    if rng.random() < 0.35:  # a collapsed lower lobe lies as a wedge beside the spine, on the left behind the heart
        top = dome_tops(chest.body, chest.structure)[side]
        centre = mirrored(side, 24, -52 * chest.body.depth, top + 22)
        turn = rotation("y", SIGN[side] * 12)
        layers.append(Layer(side, ellipsoids([centre], [[17 + 13 * s, 26 + 10 * s, 42 + 12 * s]], turn), 0.4 + 0.4 * s))
    for _ in range(1 + int(rng.integers(0, 3))):
        centre = chest.place(side, "low")
        turn = rotation("y", rng.normal(0, 16)) @ rotation("x", rng.normal(0, 14))
        radii = [22 + 22 * s, 18 + 16 * s, 1.6 + 2.6 * s]
        layers.append(Layer(side, ellipsoids([centre], [radii], turn), 0.85))
    without = chest.structure
    chest.structure = chest.structure.raised(side, 4 + 20 * s)
    return Effect("Atelectasis", s, side, tuple(layers), without=without)


def _edema(chest: Chest, s: float) -> Effect:
    layers, parts, rng = [], [], chest.rng
    for side in SIDES:
        hilum = HILUM[side] + [SIGN[side] * 12, 0, -8]
        near = ellipsoids([hilum], [[34 + 16 * s, 46 + 12 * s, 54 + 20 * s]])
        far = ellipsoids([hilum + [SIGN[side] * 12, 0, -10]], [[66, 82, 112]])
        layers += [Layer(side, near, 0.02 + 0.14 * s), Layer(side, far, 0.005 + 0.06 * s)]
        tree = chest.tree[side]
        full = (tree.radii > 1.4) & (tree.ends[:, 2] > -30)
        swollen = segments(tree.starts[full], tree.ends[full], tree.radii[full] * (1.15 + 0.45 * s))
        parts.append(parts_of(swollen, MU_BLOOD * 0.45 * s))
        walls = lung_points(chest.body, chest.organs, side, rng, 600)
        walls = walls[(walls[:, 2] < -50) & (np.abs(walls[:, 0]) > 92 * chest.body.width)][:7]
        if len(walls):  # Kerley B lines: septa that end on the pleura
            inward = walls - [SIGN[side] * 15, 0, 0]
            parts.append(parts_of(segments(walls, inward, np.full(len(walls), 0.9)), MU_BLOOD * s))
    return Effect("Edema", s, "both", tuple(layers), join(parts))


def _pleural_other(chest: Chest, s: float) -> Effect:
    side, rng, body = chest.side(), chest.rng, chest.body
    wall = lung_points(body, chest.organs, side, rng, 600)
    if rng.random() < 0.3:  # apical cap
        centre = wall[np.argmax(wall[:, 2])]
        radii = np.array([30, 30, 5 + 10 * s])
        turn = rotation("z", 0)
    else:
        flank = wall[(wall[:, 2] < 40) & (wall[:, 2] > -90)]
        centre = flank[np.argmax(np.hypot(flank[:, 0] / body.width, 1.35 * (flank[:, 1] + 4) / body.depth))]
        turn = rotation("z", np.degrees(np.arctan2(centre[1], centre[0])))
        radii = np.array([3 + 9 * s, 24 + 20 * s, 34 + 32 * s])
    layer = Layer(side, ellipsoids([centre], [radii], turn), 1.0)
    lime = None
    if rng.random() < 0.4:
        spots = wall[np.argsort(-np.abs(wall[:, 0]), kind="stable")[:5]]
        lime = parts_of(ellipsoids(spots, np.tile([2.0, 7 + 5 * s, 8 + 6 * s], (len(spots), 1))), 0.02 + 0.02 * s)
    return Effect("Pleural Other", s, side, (layer,), lime)


def _fracture(chest: Chest, s: float) -> Effect:
    rng, body, side = chest.rng, chest.body, chest.side()
    if rng.random() < 0.3:
        level = int(rng.integers(5, 12))
        whole, squeezed = (vertebra_parts(body, level, lost) for lost in (0.0, 0.2 + 0.4 * s))
        return Effect("Fracture", s, "", parts=join([whole.to_channel(0, -1.0), squeezed]))
    pieces = []
    first, count = int(rng.integers(2, 7)), 1 + int(rng.random() < 0.3 + 0.4 * s) + int(s > 0.7)
    place = int(rng.integers(2, 6))
    for line in rib_lines(body, side)[first : first + count]:
        step = rng.normal(0, 1, 3) * [1.5, 1.5, 1.0] + [SIGN[side] * (1 + 2 * s), 0, -(2.5 + 5.5 * s)]
        broken = line[place : place + 3].copy()
        broken[0] += step + 0.06 * (broken[1] - broken[0])
        broken[1] += 0.5 * step
        pieces += [rib_parts(body, line[place : place + 3]).to_channel(0, -1.0), rib_parts(body, broken)]
        callus = parts_of(ellipsoids([line[place] + 0.5 * step], [[7.0, 7, 7]]), 0.009 * s)
        pieces.append(callus)
    return Effect("Fracture", s, side, parts=join(pieces))


def _cardiomegaly(chest: Chest, s: float) -> Effect:
    without = chest.structure
    chest.structure = replace(without, heart=1.06 + 0.28 * s)
    return Effect("Cardiomegaly", s, "", without=without)


def _mediastinum(chest: Chest, s: float) -> Effect:
    without = chest.structure
    chest.structure = replace(without, mediastinum=1.12 + 0.46 * s, knob=1.04 + 0.3 * s)
    return Effect("Enlarged Cardiomediastinum", s, "", without=without)


def _devices(chest: Chest, s: float) -> Effect:
    return Effect("Support Devices", s, "", parts=place_devices(chest.body, s, chest.rng))


def _effusion(chest: Chest, s: float) -> tuple[Effect, dict[str, Pleura]]:
    rng, body, first = chest.rng, chest.body, chest.side()
    both, share = rng.random() < 0.4, rng.uniform(0.4, 0.9)
    heights = {first: s} | ({SIDES[1 - SIDES.index(first)]: s * share} if both else {})
    found = {}
    for side, amount in heights.items():
        level = body.height * (-180 + 45 * amount + 115 * amount**2)
        tall = 260 * body.height
        radii = [71 * 1.55 * body.width, 91 * 1.55 * body.depth, tall]
        found[side] = Pleura(aerated=ellipsoids([[SIGN[side] * 71 * body.width, -4, level + tall]], [radii]))
    return Effect("Pleural Effusion", s, "both" if both else first), found


def _pneumothorax(chest: Chest, s: float) -> tuple[Effect, dict[str, Pleura]]:
    side = chest.side()
    pivot = mirrored(side, 38, -8, -62 * chest.body.height)
    return Effect("Pneumothorax", s, side), {side: Pleura(collapse=0.945 - 0.30 * s**1.3, pivot=pivot)}


SHAPING: dict[str, Callable[[Chest, float], Effect]] = {
    "Cardiomegaly": _cardiomegaly,
    "Enlarged Cardiomediastinum": _mediastinum,
    "Atelectasis": _atelectasis,
    "Consolidation": _consolidation,
    "Edema": _edema,
    "Fracture": _fracture,
    "Lung Lesion": _lesion,
    "Lung Opacity": _opacity,
    "Pleural Other": _pleural_other,
    "Pneumonia": _pneumonia,
    "Support Devices": _devices,
}
PLEURAL: dict[str, Callable[[Chest, float], tuple[Effect, dict[str, Pleura]]]] = {
    "Pleural Effusion": _effusion,
    "Pneumothorax": _pneumothorax,
}


def place_findings(
    body: Body,
    structure: Structure,
    cases: list[Case],
    tree: dict[str, Tree],
    hidden_share: float,
    rng_of: Callable[[Case], np.random.Generator],
) -> Disease:
    """Put a study's cases into the chest, in the fixed order of SHAPING, then the pleural ones."""
    organs = build_organs(body, structure)
    effects, pleura = [], {side: Pleura() for side in SIDES}
    by_name = {case.finding: case for case in cases}
    for name, place in SHAPING.items():
        if name in by_name:
            case = by_name[name]
            chest = Chest(body, organs, structure, rng_of(case), hidden_share, tree)
            effects.append(place(chest, case.severity))
            structure = chest.structure
    for name, place_pleural in PLEURAL.items():
        if name in by_name:
            case = by_name[name]
            chest = Chest(body, organs, structure, rng_of(case), hidden_share, tree)
            effect, found = place_pleural(chest, case.severity)
            effects.append(effect)
            for side, state in found.items():
                pleura[side] = pleura[side].joined(state)
    return Disease(structure, pleura, tuple(effects))
