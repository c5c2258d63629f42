"""Path lengths against closed forms and against sampling the 3-D indicator function along each ray."""

from __future__ import annotations

import numpy as np
import pytest

from core.data.phantom.film import Pose, pose_rays
from core.data.phantom.geometry import Solids, cut, ellipsoids, gaps, rotation, tube, union_length
from core.data.phantom.parts import attenuation, parts_of
from core.data.phantom.rays import Rays, film_rays, intervals
from tests.core.data.phantom.samples import sampled_length

TILTED = Pose("PA", 7.0, -4.0, 3.0, (5.0, -8.0))
PARALLEL = (np.array([[1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]]), np.zeros(3), np.inf)
EGG = ellipsoids([[10, 20, -30.0]], [[60, 30, 90.0]], rotation("x", 20) @ rotation("z", 35))
PIPE = tube([[-60, 0, 0], [0, 20, 35], [60, 10, -40.0]], 14.0)
SHAPES = {
    "ellipsoid": EGG,
    "cut ellipsoid": cut(cut(EGG, (0, 0, 1), 10.0), (0.6, 0, -0.8), 30.0),
    "bent pipe": PIPE,
    "flat pipe": tube([[-60, 0, 0], [0, 20, 35], [60, 10, -40.0]], 20.0, np.tile([0, 1.0, 0], (2, 1)), 0.4),
}


def summed_length(solids: Solids, rays: Rays) -> np.ndarray:
    enter, leave = intervals(solids, rays, rays.monomials())
    return np.asarray(np.maximum(leave - enter, 0).sum(0) * rays.stretch())


def test_sphere_has_the_chord_of_the_closed_form() -> None:
    rays = film_rays(*PARALLEL, size=41, field=200.0)
    v, u = np.meshgrid(rays.v, rays.u, indexing="ij")
    chord = 2 * np.sqrt(np.maximum(70.0**2 - (u - 5) ** 2 - (v + 9) ** 2, 0)).ravel()
    found = summed_length(ellipsoids([[5, 44, -9.0]], [[70.0] * 3]), rays)
    np.testing.assert_allclose(found, chord, atol=2e-3)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("view", ["PA", "AP", "LATERAL"])
def test_lengths_equal_brute_force(name: str, view: str) -> None:
    rays = pose_rays(Pose(view, TILTED.turn, TILTED.lean, TILTED.roll, TILTED.shift), 24)
    sampled = sampled_length(SHAPES[name], rays, "any")
    assert sampled.max() > 15
    step = 600 / 4000
    np.testing.assert_allclose(summed_length(SHAPES[name], rays), sampled, atol=2.5 * step)
    np.testing.assert_allclose(attenuation(parts_of(SHAPES[name], 1.0), rays, 1)[0], sampled, atol=2.5 * step)


def test_mitred_pipe_has_neither_gap_nor_overlap() -> None:
    rays = pose_rays(TILTED, 40)
    np.testing.assert_allclose(summed_length(PIPE, rays), sampled_length(PIPE, rays, "any"), atol=0.4)
    pieces = PIPE.contains(np.random.default_rng(0).uniform(-80, 80, (20000, 3)))
    assert pieces.any(1).all()
    assert not pieces.all(0).any()


def test_ray_along_a_pipe_runs_its_whole_length() -> None:
    rays = film_rays(*PARALLEL, size=3, field=9.0)
    found = summed_length(tube([[0, -40, 0], [0, 35, 0.0]], 10.0), rays)
    np.testing.assert_allclose(found, 75.0, rtol=1e-4)


def test_thin_parts_keep_their_mass_on_small_films() -> None:
    wire = parts_of(tube([[-50, 0, -20], [60, 0, 45.0]], 0.8), 0.5)
    mass = []
    for size in (32, 512):
        rays = film_rays(*PARALLEL, size=size, field=360.0)
        mass.append(attenuation(wire, rays, 1).sum() * rays.pitch**2)
    volume = np.pi * 0.8**2 * np.hypot(110, 65)
    np.testing.assert_allclose(mass, 0.5 * volume, rtol=0.04)


def test_shell_and_core_are_weighed_apart() -> None:
    rays = film_rays(*PARALLEL, size=64, field=100.0)
    ball = ellipsoids([[0, 0, 0.0]], [[40.0] * 3])
    small = ellipsoids([[0, 0, 0.0]], [[28.0] * 3])
    found = attenuation(parts_of(ball, 0.03, 0.01, 0.7), rays, 1)[0]
    whole, core = (summed_length(s, rays) for s in (ball, small))
    np.testing.assert_allclose(found, 0.03 * (whole - core) + 0.01 * core, atol=1e-3)


def test_union_of_intervals_equals_brute_force() -> None:
    rng = np.random.default_rng(1)
    enter, leave = np.sort(rng.uniform(-10, 10, (2, 6, 300)), axis=0)
    missed = rng.random((6, 300)) < 0.3
    enter[missed], leave[missed] = np.inf, -np.inf
    low, high = np.sort(rng.uniform(-9, 9, (2, 300)), axis=0)
    low[:20], high[:20] = np.inf, -np.inf
    t = np.linspace(-10, 10, 20001)[:, None]
    within = (t >= low) & (t <= high)
    covered = within & ((t[None] >= enter[:, None]) & (t[None] <= leave[:, None])).any(0)
    np.testing.assert_allclose(union_length(low, high, enter, leave), covered.sum(0) * 1e-3, atol=0.02)
    starts, stops = gaps(low[20:], high[20:], enter[:, 20:], leave[:, 20:])
    free = np.maximum(stops - starts, 0).sum(0)
    np.testing.assert_allclose(free, (within & ~covered)[:, 20:].sum(0) * 1e-3, atol=0.02)


def test_source_at_a_distance_magnifies_what_is_near_it() -> None:
    ball = ellipsoids([[0, 90, 0.0]], [[30.0] * 3])  # at the front of the chest
    area = {}
    for view in ("PA", "AP"):
        rays = pose_rays(Pose(view, 0, 0, 0, (0, -4.0)), 200)
        area[view] = (summed_length(ball, rays) > 0).sum()
    assert area["AP"] > 1.1 * area["PA"]
