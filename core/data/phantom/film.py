"""From line integrals to a film: quanta, scatter, the detector's log, the site's processing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from core.data.phantom.geometry import Array, rotation
from core.data.phantom.rays import Rays, film_rays
from core.data.phantom.sites import Site

FIELD = 356.0  # mm across the film, in the plane through the chest's middle
SCATTER_WIDTH = 34.0  # mm, spread of scattered rays
LOG_SPAN = 6.6  # film's range of log exposure
OPEN_BEAM, FIELD_EDGE = 0.3, 0.18  # log exposure of bare film; share of the film left out on each side
MIDDLE_SHARE = 40  # percentile of log exposure that finds the lungs
STEEPNESS = 9.0
COARSE = 32  # px, grid on which broad blurs are computed
Box = tuple[slice, slice]  # rows and columns of a film
WHOLE: Box = (slice(None), slice(None))


@dataclass(frozen=True)
class Pose:
    """How the patient stands for one film. Turns in degrees, shifts in mm. view: AP | PA | LATERAL."""

    view: str
    turn: float
    lean: float
    roll: float
    shift: tuple[float, float]


def draw_pose(view: str, rng: np.random.Generator) -> Pose:
    """A slightly imperfect posture; portable (AP) films are turned and leaned more."""
    sloppy = 1.6 if view == "AP" else 1.0
    turn, lean, roll = rng.normal(0, [2.6, 2.0, 1.0]) * sloppy
    return Pose(view, turn, lean, roll, (float(rng.normal(0, 6)), float(rng.normal(0, 7))))


def pose_rays(pose: Pose, size: int, field: float = FIELD) -> Rays:
    """The rays of one film. The patient's left is on the right of a frontal film, the front left on a lateral one."""
    across, forward = {
        "PA": ([1.0, 0, 0], [0, 1.0, 0]),
        "AP": ([1.0, 0, 0], [0, -1.0, 0]),
        "LATERAL": ([0, -1.0, 0], [1.0, 0, 0]),
    }[pose.view]
    axes = np.array([across, [0, 0, 1.0], forward])
    axes = axes @ _turns(pose).T
    origin = axes[0] * pose.shift[0] + axes[1] * (pose.shift[1] + 4.0)
    return film_rays(axes, origin, 1120.0 if pose.view == "AP" else 1700.0, size, field)


def _turns(pose: Pose) -> Array:
    frontal = pose.view != "LATERAL"
    lean, roll = ("x", "y") if frontal else ("y", "x")
    return np.asarray(rotation("z", pose.turn) @ rotation(lean, pose.lean) @ rotation(roll, pose.roll))


@lru_cache(maxsize=32)
def blur_matrices(size: int, width: float, dtype: str) -> tuple[Array, Array]:
    """(down [coarse, size], spread [size, coarse]): block means; a blur of `width` px, interpolated between blocks."""
    coarse = min(size, max(COARSE, int(np.ceil(2.5 * size / width))))
    edges, cells = np.linspace(0, size, coarse + 1), np.arange(size)
    cover = np.minimum(cells + 1, edges[1:, None]) - np.maximum(cells, edges[:-1, None])
    down = np.maximum(cover, 0) / (size / coarse)
    blocks = np.arange(coarse)
    kernel = np.exp(-0.5 * ((blocks[:, None] - blocks) * (size / coarse) / width) ** 2)
    kernel /= kernel.sum(1, keepdims=True)
    place = np.clip((cells + 0.5) * coarse / size - 0.5, 0, coarse - 1)
    up = np.maximum(1 - np.abs(place[:, None] - blocks), 0)
    return down.astype(dtype), (up @ kernel).astype(dtype)


def blur(image: Array, width: float, pitch: float, box: Box = WHOLE) -> Array:
    """Gaussian blur of `width` mm, edges replicated, on a grid no finer than needed; `box` of it, in image's dtype."""
    down, spread = blur_matrices(len(image), width / pitch, image.dtype.name)
    return np.asarray(spread[box[0]] @ (down @ image @ down.T) @ spread[box[1]].T)


@dataclass(frozen=True)
class Exposure:
    """What reaches the detector: primary [H, W] and scattered [H, W] rays, in units of the open beam, and mm a px."""

    primary: Array
    scattered: Array
    pitch: float


def expose(total: Array, pitch: float, scatter: float) -> Exposure:
    """Beer-Lambert's law, and scatter: a blurred share of the beam inside the body, which fills dark places most."""
    primary = np.exp(-total)
    source = primary * (1 - primary)  # bare film scatters nothing, and what little passes dense parts scatters little
    return Exposure(primary, scatter * blur(source, SCATTER_WIDTH, pitch), pitch)


def noisy(exposure: Exposure, dose: float, rng: np.random.Generator) -> Array:
    """Detected rays, in units of the open beam, with Poisson noise of `dose` quanta / mm^2 in the open beam."""
    quanta = dose * exposure.pitch**2
    counted = rng.poisson(quanta * (exposure.primary + exposure.scattered)) + 0.5
    return np.asarray((counted / quanta).astype(exposure.primary.dtype))


def exposed_field(image: Array) -> Array:
    """The middle of a film, where the lungs are, by which a site sets curve and window: [M]."""
    edge = round(FIELD_EDGE * len(image))
    return image[edge : len(image) - edge, edge : len(image) - edge].ravel()


def film_middle(exposure: Exposure) -> float:
    """The film value about which a site's processing turns its curve."""
    log = -np.log(exposed_field(exposure.primary + exposure.scattered))
    return ranked(log[log > OPEN_BEAM], MIDDLE_SHARE) / LOG_SPAN


def ranked(values: Array, percent: float) -> float:
    """The value at a percentile of [N], without interpolation (np.percentile costs more than a small film's blur)."""
    place = round(percent / 100 * (len(values) - 1))
    return float(np.partition(values, place)[place])


def develop(detected: Array, pitch: float, site: Site, middle: float, box: Box = WHOLE) -> Array:
    """Detected rays to film values in [0, 1], dense parts bright: log, unsharp masking, the site's S-curve.

    detected: the whole film [H, W]. Returns the values inside `box`.
    """
    log = -np.log(np.maximum(detected, 1e-6))
    sharp = log[box] * (1 + site.boost)
    sharp -= site.boost * blur(log, site.boost_width, pitch, box)
    x = np.clip(sharp / LOG_SPAN, 0, 1)
    return np.asarray((1 - site.curve) * x + site.curve * s_curve(x, middle))


def s_curve(x: Array, middle: float) -> Array:
    """A smooth S from (0, 0) to (1, 1), steepest at `middle`."""
    low, high = (1 / (1 + math.exp(-STEEPNESS * (end - middle))) for end in (0.0, 1.0))
    return np.asarray((1 / (1 + np.exp(-STEEPNESS * (x - middle))) - low) / (high - low))
