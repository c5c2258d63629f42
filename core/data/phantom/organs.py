"""The large organs of one study as convex solids by name. A lung is its cage and side, less all that indents it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.data.phantom.body import Body
from core.data.phantom.geometry import Array, Solids, ellipsoids, rotation, stack, tube

SIDES = ("right", "left")
SIGN = {"right": -1.0, "left": 1.0}
CAGE_TOP, CAGE_MIDDLE = 160.0, -70.0  # mm: the cupola, and the level at which the chest is widest
INDENTING = ("heart", "mediastinum", "aorta", "spine")


@dataclass(frozen=True)
class Structure:
    """How disease and breath change the shape of organs in one study. Factors are about 1; lengths in mm."""

    heart: float = 1.0
    mediastinum: float = 1.0
    knob: float = 1.0
    dome_right: float = 0.0
    dome_left: float = 0.0

    def raised(self, side: str, millimetres: float) -> Structure:
        """The same with one hemidiaphragm higher."""
        name = f"dome_{side}"
        return replace(self, **{name: getattr(self, name) + millimetres})


@dataclass(frozen=True)
class Organs:
    """All large solids in one batch, with their names in order."""

    solids: Solids
    names: tuple[str, ...]

    def rows(self, *prefixes: str) -> list[int]:
        """Rows of the solids whose names begin with one of `prefixes`."""
        return _rows(self.names, prefixes)

    def shell(self, side: str) -> list[int]:
        """Rows of the two solids whose intersection bounds one pleural cavity."""
        return self.rows("cage", f"side_{side}")

    def indenting(self, side: str) -> list[int]:
        """Rows of the organs that take room from one lung."""
        return self.rows(*INDENTING, f"dome_{side}", f"hilum_{side}")

    def in_lung(self, side: str, points: Array) -> NDArray[np.bool_]:
        """Whether points [N, 3] lie in one pleural cavity: bool [N]."""
        inside = np.asarray(self.solids.take(self.shell(side)).contains(points).all(0))
        near = np.flatnonzero(inside)
        inside[near] = ~self.solids.take(self.indenting(side)).contains(points[near]).any(0)
        return inside


@lru_cache(maxsize=64)
def _rows(names: tuple[str, ...], prefixes: tuple[str, ...]) -> list[int]:
    return [row for row, name in enumerate(names) if name.startswith(prefixes)]


class _Shapes:
    """Collects named ellipsoids and tubes, and makes one batch of them."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._rows: list[tuple[ArrayLike, ArrayLike, Array]] = []
        self._tubes: list[tuple[str, Solids]] = []

    def add(self, name: str, centre: ArrayLike, radii: ArrayLike, turn: Array | None = None) -> None:
        self._names.append(name)
        self._rows.append((centre, radii, EYE if turn is None else turn))

    def add_tube(self, name: str, solids: Solids) -> None:
        self._tubes.append((name, solids))

    def organs(self) -> Organs:
        centres, radii, turns = (np.array(column, float) for column in zip(*self._rows, strict=True))
        names = self._names + [name for name, solids in self._tubes for _ in range(len(solids))]
        return Organs(stack([ellipsoids(centres, radii, turns), *(s for _, s in self._tubes)]), tuple(names))


EYE = np.eye(3)


def cage_radii(body: Body, z: Array) -> tuple[Array, Array]:
    """Inner semi-axes (left-right, front-back) of the rib cage at heights z, mm."""
    half = (CAGE_TOP - CAGE_MIDDLE) * body.height
    level = np.sqrt(np.maximum(1 - ((z - CAGE_MIDDLE * body.height) / half) ** 2, 0.02))
    return 141 * body.width * level, 91 * body.depth * level


def spine_line(body: Body, z: Array) -> Array:
    """Centres of the vertebral bodies at heights z: [N, 3], mm. Kyphosis bows them back, scoliosis aside."""
    bow = 1 - ((z + 10) / 170) ** 2
    lateral = body.scoliosis * np.sin(z / 75.0)
    return np.stack([lateral, -64 * body.depth - body.kyphosis * bow, z], axis=-1)


def dome_tops(body: Body, structure: Structure) -> dict[str, float]:
    """Height of each hemidiaphragm's top, mm."""
    right = -78 * body.height + body.dome
    return {"right": right + structure.dome_right, "left": right - body.dome_step + structure.dome_left}


def _add_chest(shapes: _Shapes, body: Body, structure: Structure) -> None:
    half = (CAGE_TOP - CAGE_MIDDLE) * body.height
    shapes.add("cage", [0, -4, CAGE_MIDDLE * body.height], [141 * body.width, 91 * body.depth, half])
    for side, top in dome_tops(body, structure).items():
        sign, tall = SIGN[side], 92 * body.dome_roundness
        radii = [78 * body.width, 98 * body.depth, 208 * body.height]
        lean = rotation("y", -sign * 5)
        shapes.add(f"side_{side}", [sign * 73 * body.width, -4, -58 * body.height], radii, lean)
        slope = rotation("x", 9)
        radii = [80 * body.width, 94 * body.depth, tall]
        shapes.add(f"dome_{side}", [sign * 66 * body.width, 9, top - tall], radii, slope)


def _add_heart(shapes: _Shapes, body: Body, structure: Structure) -> None:
    size = body.heart * (0.55 * body.width + 0.45 * body.depth)
    more = structure.heart - 1
    tilt = rotation("y", 42 + body.heart_axis - 14 * more) @ rotation("z", 30)
    # The heart follows the breath, not one hemidiaphragm that disease has raised.
    floor = -78 * body.height + body.dome - 0.5 * body.dome_step + min(structure.dome_right, structure.dome_left)
    drop = 0.4 * (floor + 84)
    left = np.array([27 + 26 * more, 22 - 20 * more, -64 - 14 * more + drop])
    shapes.add("heart_left", left, np.array([71, 48, 46]) * size * (1 + more), tilt)
    shapes.add("heart_right", [-13 - 4 * more, 24, -54 + drop], np.array([40, 42, 54]) * size * (1 + 0.4 * more))
    shapes.add("heart_atrium", [4, -18 - 8 * more, -24 + drop], np.array([42, 27, 30]) * size * (1 + 0.6 * more))
    shapes.add("heart_base", [14 + 12 * more, 26, -98 + drop], np.array([64, 50, 38]) * size * (1 + 0.5 * more))


def _add_mediastinum(shapes: _Shapes, body: Body, structure: Structure) -> None:
    wide, knob, unfold = body.mediastinum * structure.mediastinum, body.knob * structure.knob, body.unfolding
    shapes.add("mediastinum", [-2, -14, 60], [28 * wide, 40, 190])
    shapes.add("mediastinum_neck", [-1, -16, 140], [35 * wide, 32, 72])
    arch = [22 * wide + 5 * unfold, -16, 50 + 8 * unfold]
    shapes.add("mediastinum_knob", arch, np.array([17, 30, 16]) * knob, rotation("z", 12))
    shapes.add("mediastinum_cava", [-20 * wide, 4, 40], [14, 15, 85])
    shapes.add("mediastinum_ascending", [-12 * wide - 6 * unfold, 20, 18], [19 * knob, 21 * knob, 58])
    shapes.add("mediastinum_trunk", [19 * wide, 10, 14], [20, 22, 34], rotation("y", 14))
    shapes.add("hilum_right", [-34, -8, -4], [15, 12, 27], rotation("y", 22))
    shapes.add("hilum_left", [34, -12, 6], [14, 12, 24], rotation("y", -22))
    z = np.array([52.0, -20, -110, -230])
    side = np.array([24.0, 23 + 7 * unfold, 15 + 6 * unfold, 6])
    points = np.stack([side, spine_line(body, z)[:, 1] + 22, z], axis=1)
    shapes.add_tube("aorta", tube(points, 12.5 * (0.5 + 0.5 * knob)))
    z = np.array([230.0, 100, 10, -90, -240])
    points = spine_line(body, z) + [0, -12, 0]
    shapes.add_tube("spine", tube(points, 26.0, np.tile([1.0, 0, 0], (4, 1)), 0.8))


def _add_trunk(shapes: _Shapes, body: Body) -> None:
    wall, wide, deep = 15 + 0.6 * body.fat, 141 * body.width, 91 * body.depth
    shapes.add("body_torso", [0, -10, -110], [wide + wall + 3, deep + 0.8 * wall + 12, 320 * body.height])
    belly = [wide * 0.97 + 1.2 * body.fat, deep + 10 + 1.4 * body.fat, 190]
    shapes.add("body_belly", [0, 2, -230], belly)
    shapes.add("body_neck", [0, -30, 200], [58 + 0.3 * body.fat, 60, 200])
    for side in SIDES:
        sign = SIGN[side]
        slope = [sign * 72 * body.width, -30, 140 * body.height]
        shapes.add(f"body_slope_{side}", slope, [98, 74, 42 + 0.4 * body.fat], rotation("y", sign * 15))
        axilla = [sign * 118 * body.width, -16, 78 * body.height]
        shapes.add(f"body_axilla_{side}", axilla, [40 + 0.5 * body.fat, 70, 105], rotation("y", -sign * 8))
        if body.breast:
            size = np.array([66, 26 + 0.35 * body.fat, 64]) * body.breast**0.5
            shapes.add(f"body_breast_{side}", [sign * 76, deep + 2, -68 - 12 * body.breast], size)


@lru_cache(maxsize=32)
def build_organs(body: Body, structure: Structure) -> Organs:
    """The large organs of `body`, but for its arms, in the shape that `structure` gives them."""
    shapes = _Shapes()
    _add_chest(shapes, body, structure)
    _add_heart(shapes, body, structure)
    _add_mediastinum(shapes, body, structure)
    _add_trunk(shapes, body)
    return shapes.organs()


def arm_line(body: Body, posture: str, side: str) -> Array:
    """Shoulder joint and elbow: [2, 3], mm. Arms hang ("down") for a frontal film, are "raised" for a lateral one."""
    sign = SIGN[side]
    joint = np.array([sign * 166 * body.width, -24.0, 136 * body.height])
    if posture == "down":
        return np.stack([joint, joint + [sign * 85, -25, -300]])
    joint = joint + [-sign * 14, 10, 22]
    return np.stack([joint, joint + [sign * 10, 120, 270]])


def arm_solids(body: Body, posture: str) -> Solids:
    """Flesh of both shoulders and arms."""
    lines = [arm_line(body, posture, side) for side in SIDES]
    joints = np.array([line[0] for line in lines])
    shoulders = ellipsoids(joints - [0, 0, 4], np.tile([40.0, 66, 74], (2, 1)))
    return stack([shoulders, tube(np.array(lines), 36 + 0.4 * body.fat)])
