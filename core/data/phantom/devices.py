"""Support devices as thin dense tubes and plates: airway tube, central line, pacemaker, feeding tube, drain, wires."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from core.data.phantom.body import Body
from core.data.phantom.geometry import Array, ellipsoids, tube
from core.data.phantom.organs import SIGN
from core.data.phantom.parts import Parts, join, parts_of


def smooth(points: Sequence[Sequence[float]] | Array, pieces: int = 4) -> Array:
    """A curve through `points` (Catmull-Rom), `pieces` segments between two of them: [N, 3]."""
    knots = np.asarray(points, float)
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = (np.arange(pieces) / pieces)[:, None]
    curve = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        curve.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate([*curve, knots[-1:]])


def _airway_tube(_body: Body, rng: np.random.Generator) -> Parts:
    tip = 36 + rng.uniform(18, 60)
    line = smooth([[0, -30, 215], [0, -26, 150], [2, -24, tip]])
    return join([parts_of(tube(line, 5.2), 0.012, -0.004, 0.75), parts_of(tube(line + [4.5, 0, 0], 0.9), 0.16)])


def _central_line(_body: Body, rng: np.random.Generator) -> Parts:
    if rng.random() < 0.6:  # jugular
        line = np.array([[-34, -10, 210], [-30, 0, 150], [-27, 12, 95], [-27, 10, 40 - rng.uniform(0, 45)]])
    else:  # from the arm
        arm = [[-165, -20, 120], [-118, 20, 132], [-60, 34, 122], [-26, 18, 88]]
        line = np.array([*arm, [-27, 8, 15 - rng.uniform(0, 40)]])
    return parts_of(tube(smooth(line), 1.25), 0.17)


def _pacemaker(body: Body, rng: np.random.Generator) -> Parts:
    side = SIGN["left"] if rng.random() < 0.85 else SIGN["right"]
    spot = np.array([side * 88 * body.width, 80 * body.depth, 88 * body.height])
    case = parts_of(ellipsoids([spot], [[25, 5.5, 21]]), 0.19)
    vein = np.array([[*(spot + [0, 0, 18])], [side * 60, 40, 122], [-16, 18, 92], [-24, 6, 30]])
    tip = smooth(np.concatenate([vein, [[-14, 22, -50], [24, 46, -84]]]))
    atrial = smooth(np.concatenate([vein, [[-34, 26, -18], [-28, 38, 2]]]))
    return join([case, parts_of(tube(tip, 1.1), 0.22), parts_of(tube(atrial, 1.1), 0.22)])


def _feeding_tube(_body: Body, rng: np.random.Generator) -> Parts:
    end = [rng.uniform(25, 70), 25, -175 - rng.uniform(0, 25)]
    line = smooth([[0, -36, 215], [2, -44, 120], [4, -48, 20], [8, -44, -80], [22, -10, -135], end])
    return parts_of(tube(line, 1.8), 0.085)


def _drain(body: Body, rng: np.random.Generator) -> Parts:
    side = SIGN["left"] if rng.random() < 0.5 else SIGN["right"]
    wide = body.width
    high = rng.uniform(-20, 110)
    line = smooth(
        [
            [side * 178 * wide, -5, -105],
            [side * 134 * wide, -20, -78],
            [side * 112 * wide, -48, -10],
            [side * 66, -52, high],
        ]
    )
    return parts_of(tube(line, 3.4), 0.075, -0.01, 0.7)


def _wires(body: Body, rng: np.random.Generator) -> Parts:
    around = np.linspace(0, 2 * np.pi, 9)
    found = []
    for z in np.linspace(92, -34, 6):
        front = 91 * body.depth * (0.98 - 0.25 * max(z, 0) / 110)
        ring = np.stack(
            [12 * np.cos(around) + rng.normal(0, 1), front + 5 * np.sin(around), np.full(9, z) + rng.normal(0, 1.5, 9)],
            axis=1,
        )
        found.append(parts_of(tube(ring, 0.65), 0.5))
    return join(found)


DEVICES: dict[str, Callable[[Body, np.random.Generator], Parts]] = {
    "central_line": _central_line,
    "airway_tube": _airway_tube,
    "feeding_tube": _feeding_tube,
    "pacemaker": _pacemaker,
    "drain": _drain,
    "wires": _wires,
}
SHARES = (0.28, 0.16, 0.14, 0.18, 0.10, 0.14)


def place_devices(body: Body, severity: float, rng: np.random.Generator) -> Parts:
    """One to four devices, more with severity."""
    count = 1 + int(rng.binomial(3, 0.6 * severity))
    chosen = rng.choice(len(DEVICES), size=count, replace=False, p=SHARES)
    builders = list(DEVICES.values())
    return join([builders[i](body, rng) for i in sorted(chosen)])
