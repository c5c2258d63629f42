"""One film of one study: its values, and where and how well each finding shows on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.data.phantom.effects import Effect
from core.data.phantom.film import Box, Pose, develop, expose, exposed_field, film_middle, noisy, pose_rays, ranked
from core.data.phantom.geometry import Array
from core.data.phantom.projection import Scene, project
from core.data.phantom.rays import Rays
from core.data.phantom.sites import Site

LEAST, MOST, SHARE = 0.004, 0.04, 0.2  # a mask holds what changes the line integral by SHARE of the finding's most
BARE = 0.1  # line integral below which a ray has met no body
MARKER = ((0.0, 0.0, 3.0, 16.0), (0.0, 13.0, 10.0, 3.0))  # mm: x, y, width, height of the strokes of a lead L


@dataclass(frozen=True)
class Sighting:
    """One finding on one film. mask: bool [H, W].

    box: x0, y0, x1, y1 in px (x1, y1 outside), None where it casts nothing. visibility: mean change of displayed grey
    inside the mask if the finding were taken away and scatter stayed, 0 to 1 of the window.
    """

    effect: Effect
    mask: NDArray[np.bool_]
    box: tuple[int, int, int, int] | None
    visibility: float


@dataclass(frozen=True)
class Film:
    """values: [H, W] in [0, 1], dense parts bright. window: (low, high) values that the display spans. pitch: mm."""

    values: Array
    window: tuple[float, float]
    sightings: list[Sighting]
    pitch: float


def render_film(
    scene: Scene, pose: Pose, site: Site, size: int, dose: float, scatter: float, rng: np.random.Generator
) -> Film:
    """Project, expose and develop one film of `size` px."""
    rays = pose_rays(pose, size)
    total, found = project(scene, rays)
    if site.marker and pose.view != "LATERAL":
        total = total + _marker(rays, rng)
    total, found = total.astype(np.float32), found.astype(np.float32)
    edges = _edges(size, site, rng)  # before the noise: how many numbers that takes may hang on a rounding
    exposure = expose(total, rays.pitch, scatter * site.scatter)
    middle = film_middle(exposure)
    values = develop(noisy(exposure, dose * site.dose, rng), rays.pitch, site, middle)
    low, high = ranked(values[total > BARE], site.window[0]), ranked(exposed_field(values), site.window[1])

    def shown(primary: Array, box: Box) -> Array:
        grey = develop(primary + exposure.scattered, rays.pitch, site, middle, box)
        return np.clip((grey - low) / (high - low), 0, 1)

    sightings = []
    for effect, change in zip(scene.disease.effects, found, strict=True):
        mask = _mask(np.abs(change))
        sightings.append(Sighting(effect, mask, None, 0.0))
        if mask.any():
            box = _box(mask)
            contrast = np.abs(shown(exposure.primary, box) - shown(np.exp(change - total), box))
            corners = (box[1].start, box[0].start, box[1].stop, box[0].stop)
            sightings[-1] = Sighting(effect, mask, corners, float(contrast[mask[box]].mean()))
    return Film(_collimate(values, *edges), (low, high), sightings, rays.pitch)


def _mask(change: Array) -> NDArray[np.bool_]:
    return np.asarray(change > np.clip(SHARE * float(change.max()), LEAST, MOST))


def _box(mask: NDArray[np.bool_]) -> Box:
    """The smallest box that holds all that is set."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _marker(rays: Rays, rng: np.random.Generator) -> Array:
    """A lead letter beside the patient's left shoulder: [H, W], line integral."""
    left, top = 140 + rng.uniform(0, 25), 150 + rng.uniform(0, 25)
    ink = np.zeros(rays.shape)
    for x, y, wide, tall in MARKER:
        across = _cover(rays.u, rays.pitch, left + x, left + x + wide)
        down = _cover(-rays.v, rays.pitch, y - top, y + tall - top)
        ink = np.maximum(ink, down[:, None] * across[None, :])
    return 2.5 * ink


def _cover(centres: Array, pitch: float, low: float, high: float) -> Array:
    """Share of each pixel that [low, high] covers along one axis."""
    return np.clip((np.minimum(centres + pitch / 2, high) - np.maximum(centres - pitch / 2, low)) / pitch, 0, 1)


def _edges(size: int, site: Site, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Where the beam was narrowed, px from the top, bottom, left and right."""
    top, bottom, left, right = (round(share * size) for share in rng.uniform(0, site.collimation, 4).tolist())
    return top, bottom, left, right


def _collimate(values: Array, top: int, bottom: int, left: int, right: int) -> Array:
    """Black edges where the beam was narrowed."""
    framed = np.zeros_like(values)
    inside = (slice(top, len(values) - bottom), slice(left, len(values) - right))
    framed[inside] = values[inside]
    return framed
