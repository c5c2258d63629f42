"""Bones: ribs on the cage, vertebrae, breastbone; collarbones, shoulder blades and upper arms move with the arms."""

from __future__ import annotations

import numpy as np

from core.data.phantom.body import Body
from core.data.phantom.geometry import Array, Solids, ellipsoids, rotation, tube
from core.data.phantom.organs import SIDES, SIGN, arm_line, cage_radii, spine_line
from core.data.phantom.parts import Parts, mixed_parts
from core.data.phantom.rays import Index

CORTEX, MARROW = 0.036, 0.004  # 1/mm over soft tissue
RIBS, RIB_POINTS = 11, 9
RIB_REACH = np.array([140, 146, 150, 150, 150, 150, 146, 138, 126, 114, 80])  # degrees round the chest to bone's end
VERTEBRAE, LEVEL = 14, 23.5  # T1 to L2, mm between them


def vertebra_heights(body: Body) -> Array:
    """Heights of the centres of the vertebral bodies T1 to L2, mm: [14]."""
    return np.asarray(body.height * (146 - LEVEL * np.arange(VERTEBRAE)))


def rib_lines(body: Body, side: str) -> Array:
    """Middle lines of one side's ribs from the spine round to where their cartilage begins: [11, 9, 3], mm."""
    part = np.linspace(0, 1, RIB_POINTS)
    rib = np.arange(RIBS)[:, None]
    angle = np.deg2rad(13 + (RIB_REACH[:, None] - 13) * part)
    drop = body.rib_drop * body.height * np.minimum(34 + 11 * rib, 100)
    lift = 9 * np.sin(part * np.pi) * (rib > 0)
    z = vertebra_heights(body)[:RIBS, None] + 7 + lift - drop * (1 - np.cos(angle)) / 2
    wide, deep = cage_radii(body, np.minimum(z, 128 * body.height))
    return np.stack([SIGN[side] * (wide + 5) * np.sin(angle), -4 - (deep + 5) * np.cos(angle), z], axis=-1)


def _ribs(body: Body, lines: Array) -> tuple[Solids, float, float, float]:
    middle = (lines[..., 1:, :] + lines[..., :-1, :]) / 2
    solids = tube(lines, 6.6 * body.height, middle * [1, 1, 0], 0.55)
    return solids, CORTEX * body.bone, MARROW * body.bone, 0.72


def rib_parts(body: Body, lines: Array) -> Parts:
    """Ribs, or pieces of them, along lines [..., N, 3]: a flat shell of cortex round marrow."""
    return mixed_parts([_ribs(body, lines)])


def _vertebrae(body: Body, levels: Index, lost: float) -> tuple[Solids, float, float, float]:
    z = vertebra_heights(body)
    centre = spine_line(body, z)
    tilt = np.gradient(centre[:, 1], z)[levels]
    axis = np.stack([np.zeros_like(tilt), tilt, np.ones_like(tilt)], axis=1) / np.hypot(1, tilt)[:, None]
    tall = ((8.2 + 0.28 * levels) * body.height * (1 - lost))[:, None]
    ends = np.stack([centre[levels] - axis * tall, centre[levels] + axis * tall], axis=1)
    wide = ((15 + 0.55 * levels) * body.width)[:, None]
    dense = (1 + 0.5 * lost) * body.bone
    solids = tube(ends, wide, np.broadcast_to([0, 1.0, 0], (len(levels), 1, 3)), 0.8)
    return solids, 0.013 * dense, 0.0055 * dense, 0.86


def vertebra_parts(body: Body, level: int, lost: float) -> Parts:
    """One vertebral body (0 = T1) that has lost a share of its height, 0 (whole) to below 1."""
    return mixed_parts([_vertebrae(body, np.array([level]), lost)])


def trunk_bones(body: Body) -> Parts:
    """Ribs, spine and breastbone, whole."""
    centre, bone = spine_line(body, vertebra_heights(body)), body.bone
    behind = ellipsoids(centre + [0, -32, -9], np.tile([4.0, 17, 9], (VERTEBRAE, 1)), rotation("x", 25))
    pedicles = np.concatenate([centre + [12, -17, 4], centre + [-12, -17, 4]])
    plate = np.array([[0, 0.78, 108], [0, 0.92, 62], [0, 1.0, 5], [0, 1.0, -48]])
    plate = plate * [1, 91 * body.depth + 1, body.height]
    return mixed_parts(
        [
            _ribs(body, np.stack([rib_lines(body, side) for side in SIDES])),
            _vertebrae(body, np.arange(VERTEBRAE), 0.0),
            (behind, 0.010 * bone, 0.010 * bone, 0.0),
            (ellipsoids(pedicles, np.tile([4.5, 7, 6], (2 * VERTEBRAE, 1))), 0.014 * bone, 0.014 * bone, 0.0),
            (tube(plate, 17.0, np.tile([0, 1.0, 0], (3, 1)), 0.32), 0.016 * bone, 0.005, 0.7),
        ]
    )


def arm_bones(body: Body, posture: str) -> Parts:
    """Collarbones, shoulder blades and upper arms of both sides."""
    bone, lift = body.bone, np.array([0, 0, 12.0 if posture == "raised" else 0.0])
    size = np.array([body.width, body.depth, body.height])
    mirror = np.array([[SIGN[side], 1, 1] for side in SIDES])
    collar = np.array([[16, 66, 112], [50, 62, 121], [88, 35, 130], [122, 4, 138], [152, -12, 142]]) * size
    ridge = np.array([[78, -112, 82], [112, -110, 104], [146, -62, 136]]) * size
    arms = np.array([arm_line(body, posture, side) for side in SIDES])
    turns = np.stack([rotation("z", SIGN[side] * 30) @ rotation("y", SIGN[side] * 14) for side in SIDES])
    blades = ellipsoids(np.array([106, -104, 62]) * size * mirror + lift, np.tile([38, 4.5, 68], (2, 1)), turns)
    heads = ellipsoids(arms[:, 0], np.tile([23.0, 23, 24], (2, 1)))
    return mixed_parts(
        [
            (tube(collar * mirror[:, None] + lift, 6.0 * body.height), CORTEX * bone, 0.006, 0.66),
            (tube(ridge * mirror[:, None] + lift, 6.5), 0.018 * bone, 0.018 * bone, 0.0),
            (tube(arms, 12.5 * body.height), CORTEX * bone, 0.003, 0.62),
            (blades, 0.020 * bone, 0.020 * bone, 0.0),
            (heads, 0.012 * bone, 0.012 * bone, 0.0),
        ]
    )
