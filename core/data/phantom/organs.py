"""The large organs of one study as convex solids by name, and what is a lung: cage and side, less all that indents it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from core.data.phantom.body import Body
from core.data.phantom.geometry import Array, Solids, cut, ellipsoids, rotation, stack, tube

SIDES = ("right", "left")
SIGN = {"right": -1.0, "left": 1.0}
CAGE_TOP, CAGE_MIDDLE = 160.0, -70.0  # mm: the cupola, and the level at which the chest is widest


@dataclass(frozen=True)
class Structure:
    """How disease and posture change the shape of organs in one study. Factors are about 1; lengths in mm."""

    heart: float = 1.0
    mediastinum: float = 1.0
    knob: float = 1.0
    dome_right: float = 0.0
    dome_left: float = 0.0
    shift: float = 0.0
    arms: str = "down"

    def raised(self, side: str, millimetres: float) -> Structure:
        """The same with one hemidiaphragm higher."""
        name = f"dome_{side}"
        return replace(self, **{name: getattr(self, name) + millimetres})


@dataclass(frozen=True)
class Organs:
    """All large solids in one batch, with the row of each name."""

    solids: Solids
    rows: dict[str, int]

    def named(self, *names: str) -> list[int]:
        """Rows of `names`."""
        return [self.rows[name] for name in names]

    def starting(self, prefix: str) -> list[int]:
        """Rows of all names with a prefix."""
        return [row for name, row in self.rows.items() if name.startswith(prefix)]


def cage_radii(body: Body, z: Array) -> tuple[Array, Array]:
    """Inner semi-axes (left-right, front-back) of the rib cage at heights z, mm."""
    half = (CAGE_TOP - CAGE_MIDDLE) * body.height
    level = np.sqrt(np.maximum(1 - ((z - CAGE_MIDDLE * body.height) / half) ** 2, 0.02))
    return 141 * body.width * level, 91 * body.depth * level


def spine_line(body: Body, z: Array) -> Array:
    """Centres of the vertebral bodies at heights z: [N, 3], mm. Kyphosis bows them back, scoliosis aside."""
    bow = 1 - ((z + 10) / 170) ** 2
    lateral = body.scoliosis * np.sin(z / 75.0)
    return np.stack([lateral, -68 * body.depth - body.kyphosis * bow, z], axis=-1)


def dome_tops(body: Body, structure: Structure) -> dict[str, float]:
    """Height of each hemidiaphragm's top, mm."""
    right = -78 * body.height + body.dome + structure.dome_right
    return {"right": right, "left": right - body.dome_step - structure.dome_right + structure.dome_left}


def _chest(body: Body) -> dict[str, Solids]:
    half = (CAGE_TOP - CAGE_MIDDLE) * body.height
    low = CAGE_MIDDLE * body.height
    found = {"cage": ellipsoids([[0, -4, low]], [[141 * body.width, 91 * body.depth, half]])}
    for side in SIDES:
        sign = SIGN[side]
        centre, radii = (
            [sign * 71 * body.width, -4, -58 * body.height],
            [77 * body.width, 97 * body.depth, 205 * body.height],
        )
        lean = ellipsoids([centre], [radii], rotation("y", -sign * 5))
        found[f"side_{side}"] = cut(lean, (-sign, 0, 0), -1.0)
    return found


def _diaphragm(body: Body, structure: Structure) -> dict[str, Solids]:
    found = {}
    for side, top in dome_tops(body, structure).items():
        tall = 95 * body.dome_roundness
        radii = [80 * body.width, 88 * body.depth, tall]
        found[f"dome_{side}"] = ellipsoids([[SIGN[side] * 68 * body.width, 5, top - tall]], [radii])
    return found


def _heart(body: Body, structure: Structure) -> dict[str, Solids]:
    size = body.heart * (0.55 * body.width + 0.45 * body.depth)
    grow = structure.heart
    tilt = rotation("y", 38 + body.heart_axis - 12 * (grow - 1)) @ rotation("z", 28)
    floor = np.mean(list(dome_tops(body, structure).values()))
    drop = 0.35 * (floor + 84) - 6
    left = [(27 + 24 * (grow - 1)) + structure.shift, 22 - 22 * (grow - 1), -56 - 16 * (grow - 1) + drop]
    right = [-14 - 3 * (grow - 1) + structure.shift, 24, -48 + drop]
    atrium = [4 + structure.shift, -18 - 6 * (grow - 1), -22 + drop]
    return {
        "heart_left": ellipsoids([left], [np.array([66, 47, 47]) * size * grow], tilt),
        "heart_right": ellipsoids([right], [np.array([38, 42, 52]) * size * (0.6 + 0.4 * grow)]),
        "heart_atrium": ellipsoids([atrium], [np.array([42, 26, 28]) * size * (0.4 + 0.6 * grow)]),
    }


def _mediastinum(body: Body, structure: Structure) -> dict[str, Solids]:
    wide, knob = body.mediastinum * structure.mediastinum, body.knob * structure.knob
    unfold, shift = body.unfolding, structure.shift
    arch = np.array([26 * wide + 5 * unfold, -16, 48 + 8 * unfold])
    trunk = ellipsoids([[shift - 2, -14, 60]], [[29 * wide, 40, 190]])
    neck = ellipsoids([[-1, -16, 130]], [[34 * wide, 30, 70]])
    found = {
        "mediastinum": cut(trunk, (0, 0, 1), 190.0),
        "mediastinum_neck": neck,
        "mediastinum_knob": ellipsoids([arch], [np.array([15, 26, 16]) * knob]),
        "mediastinum_cava": ellipsoids([[-22 * wide + shift, 4, 30]], [[13, 15, 75]]),
        "mediastinum_ascending": ellipsoids([[-14 * wide - 6 * unfold, 20, 22]], [[20 * knob, 20 * knob, 46]]),
        "mediastinum_trunk": ellipsoids([[23 * wide + shift, 12, 16]], [[19, 22, 26]]),
        "hilum_right": ellipsoids([[-38 + shift, -8, -2]], [[17, 13, 22]], rotation("y", 20)),
        "hilum_left": ellipsoids([[38 + shift, -12, 9]], [[15, 13, 19]], rotation("y", -20)),
    }
    z = np.array([48.0, 0, -60, -140, -230])
    side = np.array([25.0, 25 + 4 * unfold, 20 + 8 * unfold, 12 + 4 * unfold, 6])
    aorta = tube(np.stack([side, spine_line(body, z)[:, 1] + 22, z], axis=1), 12.5 * (0.5 + 0.5 * knob))
    return found | {f"aorta_{i}": aorta.take([i]) for i in range(len(aorta))}


def _spine(body: Body) -> dict[str, Solids]:
    z = np.array([220.0, 150, 90, 30, -30, -90, -150, -240])
    line = tube(spine_line(body, z) + [0, -12, 0], 27.0, np.tile([1.0, 0, 0], (7, 1)), 0.8)
    return {f"spine_{i}": line.take([i]) for i in range(len(line))}


def _trunk(body: Body, structure: Structure) -> dict[str, Solids]:
    wall, wide, deep = 17 + 0.65 * body.fat, 141 * body.width, 91 * body.depth
    torso = [wide + wall + 3, deep + 0.85 * wall + 12, 330 * body.height]
    belly = [wide * 0.97 + 1.25 * body.fat, deep + 12 + 1.5 * body.fat, 190]
    found = {
        "body_torso": ellipsoids([[0, -10, -110]], [torso]),
        "body_belly": ellipsoids([[0, 2, -225]], [belly]),
        "body_neck": ellipsoids([[0, -32, 190]], [[60 + 0.3 * body.fat, 62, 190]]),
    }
    for side in SIDES:
        sign = SIGN[side]
        joint = np.array([sign * 155 * body.width, -22, 140 * body.height])
        shoulder = ellipsoids([joint - [sign * 42, 0, -4]], [[88, 58, 46 + 0.3 * body.fat]], rotation("y", sign * 14))
        found[f"body_shoulder_{side}"] = shoulder
        found[f"body_arm_{side}"] = tube(arm_line(body, structure, side), 44 + 0.4 * body.fat)
        if body.breast:
            size = np.array([58, 34 + 0.5 * body.fat, 58]) * body.breast**0.5
            found[f"body_breast_{side}"] = ellipsoids([[sign * 74, deep + 4, -62 - 10 * body.breast]], [size])
        else:
            found[f"body_breast_{side}"] = ellipsoids([[sign * 68, deep - 4, 20]], [[62, 22, 52]])
    return found


def arm_line(body: Body, structure: Structure, side: str) -> Array:
    """Shoulder joint and elbow: [2, 3], mm. Arms hang for a frontal film and are raised for a lateral one."""
    sign = SIGN[side]
    joint = np.array([sign * 162 * body.width, -22.0, 138 * body.height])
    if structure.arms == "down":
        return np.stack([joint, joint + [sign * 75, -25, -300]])
    return np.stack([joint, joint + [sign * 10, 110, 270]])


def build_organs(body: Body, structure: Structure) -> Organs:
    """The large organs of `body` in the shape that `structure` gives them."""
    parts = _chest(body) | _diaphragm(body, structure) | _heart(body, structure)
    parts |= _mediastinum(body, structure) | _spine(body) | _trunk(body, structure)
    return Organs(stack(list(parts.values())), {name: row for row, name in enumerate(parts)})


def indenting(organs: Organs, side: str) -> list[int]:
    """Rows of the organs that take room from one lung."""
    prefixes = ("heart", "mediastinum", "aorta", "spine")
    return [row for p in prefixes for row in organs.starting(p)] + organs.named(f"dome_{side}", f"hilum_{side}")


def in_lung(organs: Organs, side: str, points: Array) -> Array:
    """Whether points [N, 3] lie in one pleural cavity: bool [N]."""
    inside = organs.solids.contains(points)
    clear = ~inside[indenting(organs, side)].any(0)
    return np.asarray(inside[organs.named("cage", f"side_{side}")].all(0) & clear)
