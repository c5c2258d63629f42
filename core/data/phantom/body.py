"""One patient's anatomy as numbers: drawn once, kept over all of the patient's studies.

Sizes are those of adult chests (thoracic width about 28 cm, depth about 18 cm, cardiothoracic ratio 0.42 to 0.50,
right dome 1 to 2 cm above the left), with the spread between people. None is chosen to favour a method.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.data.phantom.streams import stream


@dataclass(frozen=True)
class Body:
    """What makes one person's chest differ from another's. Factors are about 1; lengths in mm; angles in degrees."""

    number: int
    sex: str
    age: int
    width: float
    depth: float
    height: float
    fat: float
    breast: float
    heart: float
    heart_axis: float
    mediastinum: float
    knob: float
    unfolding: float
    dome: float
    dome_step: float
    dome_roundness: float
    rib_drop: float
    kyphosis: float
    scoliosis: float
    bone: float
    lung_density: float
    vessel: float
    stomach_gas: float


def draw_body(seed: int, number: int) -> Body:
    """The anatomy of patient `number`; depends on (seed, number) alone."""
    rng = stream(seed, number, "body")
    sex = "F" if rng.random() < 0.48 else "M"
    age = int(np.clip(rng.normal(60, 17), 18, 95))
    old, female = (age - 60) / 17, sex == "F"
    scale = rng.normal(0.94 if female else 1.02, 0.035)
    spread = rng.normal(0, 1, 14).clip(-2.2, 2.2)
    return Body(
        number=number,
        sex=sex,
        age=age,
        width=scale * (1 + 0.04 * spread[0]),
        depth=scale * (1 + 0.06 * spread[1] + 0.03 * old),
        height=scale * (1 + 0.045 * spread[2]),
        fat=float(np.clip(rng.gamma(3.2, 7.0), 6, 60)),
        breast=float(np.clip(rng.normal(0.9, 0.35), 0.2, 1.7)) if female else 0.0,
        heart=0.95 + 0.055 * spread[3] + 0.02 * old,
        heart_axis=8 * spread[4] + 3 * old,
        mediastinum=1 + 0.09 * spread[5] + 0.05 * old,
        knob=1 + 0.14 * spread[6] + 0.13 * old,
        unfolding=float(np.clip(0.35 + 0.3 * old + 0.2 * spread[7], 0, 1.2)),
        dome=7 * spread[8],
        dome_step=13 + 5 * spread[9],
        dome_roundness=1 + 0.08 * spread[10],
        rib_drop=1 + 0.15 * spread[11],
        kyphosis=float(np.clip(14 + 6 * old + 5 * spread[12], 2, 40)),
        scoliosis=5 * spread[13],
        bone=float(np.clip(1.05 - 0.13 * max(old, 0) + rng.normal(0, 0.07), 0.6, 1.25)),
        lung_density=float(np.clip(rng.normal(0.25, 0.03), 0.17, 0.34)),
        vessel=float(np.clip(rng.normal(1, 0.1), 0.75, 1.3)),
        stomach_gas=float(np.clip(rng.normal(0.2, 0.5), 0, 1.3)),
    )
