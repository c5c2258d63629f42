"""Bones: ribs on the cage, vertebrae, clavicles, shoulder blades, breastbone, upper arms."""

from __future__ import annotations

import numpy as np

from core.data.phantom.body import Body
from core.data.phantom.geometry import Array, ellipsoids, rotation, tube
from core.data.phantom.organs import SIDES, SIGN, Structure, arm_line, cage_radii, spine_line
from core.data.phantom.rays import Parts, join, parts_of

CORTEX, MARROW = 0.030, 0.004  # 1/mm over soft tissue
RIBS = 11
RIB_REACH = (140, 146, 150, 150, 150, 150, 146, 138, 126, 114, 80)  # degrees round the chest where bone ends
LEVEL = 23.5  # mm between vertebrae


def vertebra_heights(body: Body) -> Array:
    """Heights of the centres of the vertebral bodies T1 to L2, mm: [14]."""
    return np.asarray(body.height * (146 - LEVEL * np.arange(14)))


def rib_line(body: Body, side: str, rib: int, points: int = 11) -> Array:
    """Middle line of a rib (0 = first) from the spine round to where its cartilage begins: [points, 3], mm."""
    angle = np.deg2rad(np.linspace(13, RIB_REACH[rib], points))
    share = (1 - np.cos(angle)) / 2
    start = vertebra_heights(body)[rib] + 7
    drop = body.rib_drop * body.height * min(34 + 11 * rib, 100)
    lift = 9 * np.sin(np.linspace(0, 1, points) * np.pi) * (rib > 0)
    z = start + lift - drop * share
    wide, deep = cage_radii(body, np.minimum(z, 128 * body.height))
    return np.stack([SIGN[side] * (wide + 5) * np.sin(angle), -4 - (deep + 5) * np.cos(angle), z], axis=1)


def rib_parts(body: Body, line: Array) -> Parts:
    """One rib, or a piece of it, along `line` [N, 3]: a flat shell of cortex round marrow."""
    middle = (line[1:] + line[:-1]) / 2
    outward = middle * [1, 1, 0] / np.linalg.norm(middle[:, :2], axis=1, keepdims=True)
    solids = tube(line, 6.6 * body.height, outward, 0.55)
    return parts_of(solids, CORTEX * body.bone, MARROW * body.bone, 0.72)


def compressed_vertebra(body: Body, level: int, lost: float) -> Parts:
    """One vertebral body (0 = T1) that has lost a share of its height, from 0 (whole) to below 1."""
    z = vertebra_heights(body)
    centre = spine_line(body, z)
    tilt = np.gradient(centre[:, 1], z)[level]
    wide = (15 + 0.55 * level) * body.width
    tall = (8.2 + 0.28 * level) * body.height * (1 - lost)
    axis = np.array([0, tilt, 1.0]) / np.hypot(1, tilt)
    ends = np.stack([centre[level] - axis * tall, centre[level] + axis * tall])
    dense = (1 + 0.5 * lost) * body.bone
    return parts_of(tube(ends, wide, np.array([[0, 1.0, 0]]), 0.8), 0.016 * dense, 0.0075 * dense, 0.86)


def _vertebrae(body: Body) -> list[Parts]:
    centre = spine_line(body, vertebra_heights(body))
    count = len(centre)
    found = [compressed_vertebra(body, level, 0.0) for level in range(count)]
    behind = ellipsoids(centre + [0, -32, -9], np.tile([4.0, 17, 9], (count, 1)), rotation("x", 25))
    found.append(parts_of(behind, 0.010 * body.bone))
    for sign in (-1, 1):
        pedicles = ellipsoids(centre + [sign * 12, -17, 4], np.tile([4.5, 7, 6], (count, 1)))
        found.append(parts_of(pedicles, 0.014 * body.bone))
    return found


def _shoulder(body: Body, structure: Structure, side: str) -> list[Parts]:
    sign, w, d, h = SIGN[side], body.width, body.depth, body.height
    lift = 12.0 if structure.arms == "raised" else 0.0
    collar = np.array([[16, 0.72, 112], [50, 0.70, 121], [88, 0.40, 130], [122, 0.05, 138], [150, -0.12, 142]])
    collar = collar * [sign * w, 88 * d, h] + [0, 0, lift]
    blade = np.array([sign * 104 * w, -4 - 100 * d, 62 * h + lift])
    turn = rotation("z", sign * 28) @ rotation("y", sign * 14)
    ridge = np.array([[78, -112, 82], [112, -110, 104], [146, -62, 136]]) * [sign * w, d, h] + [0, 0, lift]
    arm = arm_line(body, structure, side)
    return [
        parts_of(tube(collar, 6.0 * h), CORTEX * body.bone, 0.006, 0.66),
        parts_of(ellipsoids([blade], [[40, 4.5, 70]], turn), 0.013 * body.bone),
        parts_of(tube(ridge, 6.5), 0.018 * body.bone),
        parts_of(tube(arm, 12.5 * h), CORTEX * body.bone, 0.003, 0.62),
        parts_of(ellipsoids(arm[:1], [[23, 23, 24]]), 0.012 * body.bone),
    ]


def build_bones(body: Body, structure: Structure) -> Parts:
    """All bones, whole."""
    found = [rib_parts(body, rib_line(body, side, rib)) for side in SIDES for rib in range(RIBS)]
    found += _vertebrae(body)
    for side in SIDES:
        found += _shoulder(body, structure, side)
    front = 91 * body.depth + 1
    plate = np.array([[0, 0.78, 108], [0, 0.92, 62], [0, 1.0, 5], [0, 1.0, -48]]) * [1, front, body.height]
    found.append(parts_of(tube(plate, 17.0, np.tile([0, 1.0, 0], (3, 1)), 0.32), 0.016 * body.bone, 0.005, 0.7))
    return join(found)
