"""The chest as both views see it: one volume, one composition, findings where they were put."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.data.phantom.effects import MU_SOFT
from core.data.phantom.film import SCATTER_WIDTH, blur, pose_rays
from core.data.phantom.findings import SHAPING, Case
from core.data.phantom.geometry import ellipsoids
from core.data.phantom.organs import SIDES, Structure, build_organs
from core.data.phantom.projection import project
from core.data.phantom.rays import film_rays, intervals
from core.data.phantom.render import render_film
from core.data.phantom.sites import SITES
from tests.core.data.phantom.samples import STRAIGHT, disease_of, frame_of, sampled_length, scene_of

VIEWS = ("PA", "LATERAL")
ALL = [*SHAPING, "Pleural Effusion", "Pneumothorax"]


def test_both_views_hold_the_same_volume() -> None:
    """Over parallel rays the film's integral of path length is the volume, whichever way the rays run."""
    solids = ellipsoids([[12, -20, 30.0]], [[61, 38, 84.0]])
    volume = 4 / 3 * np.pi * 61 * 38 * 84
    for across, forward in (([1.0, 0, 0], [0, 1.0, 0]), ([0, -1.0, 0], [1.0, 0, 0])):
        rays = film_rays(np.array([across, [0, 0, 1.0], forward]), np.zeros(3), np.inf, 128, 260.0)
        enter, leave = intervals(solids, rays, rays.monomials())
        found = np.maximum(leave - enter, 0).sum() * rays.pitch**2
        assert found == pytest.approx(volume, rel=2e-3)


def test_chest_has_one_attenuation_whichever_way_it_is_seen() -> None:
    """The lungs' missing attenuation, summed over a parallel film, is the same from the front and from the side."""
    frame = frame_of(3)
    found = []
    for across, forward in (([1.0, 0, 0], [0, 1.0, 0]), ([0, -1.0, 0], [1.0, 0, 0])):
        rays = film_rays(np.array([across, [0, 0, 1.0], forward]), np.zeros(3), np.inf, 96, 420.0)
        scene = scene_of(frame, disease_of(frame, [Case("Consolidation", 0.8, 1)]), "PA", 96)
        _, findings = project(scene, rays)
        found.append(findings[0].sum() * rays.pitch**2)
    assert found[0] > 0
    assert found[0] == pytest.approx(found[1], rel=0.01)


@pytest.mark.parametrize("view", VIEWS)
def test_lung_is_its_cavity_less_what_indents_it(view: str) -> None:
    """Air along every ray against sampling the indicator: in cage and side, in no organ that indents the lung."""
    frame, rays = frame_of(5), pose_rays(STRAIGHT[view], 12)
    scene = scene_of(frame, disease_of(frame, []), view, 12)
    t = np.linspace(-200, 200, 1001)
    points = rays.points(t).reshape(-1, 3)
    lung = np.zeros(rays.shape[0] * rays.shape[1])
    for side in SIDES:
        lung += scene.organs.in_lung(side, points).reshape(len(t), -1).sum(0) * (t[1] - t[0]) * rays.stretch()
    flesh = sampled_length(scene.solids.take(scene.flesh), rays, "any", 1601, 420.0)
    total, _ = project(replace(scene, parts=scene.parts.to_channel(0, 0.0)), rays)
    expected = MU_SOFT * flesh - MU_SOFT * (1 - frame.body.lung_density) * lung
    np.testing.assert_allclose(total.ravel(), expected, atol=0.025)


@pytest.mark.parametrize("finding", ALL)
@pytest.mark.parametrize("view", VIEWS)
def test_a_finding_changes_its_mask_and_little_else(finding: str, view: str) -> None:
    """Rendered with and without, noise apart: the change lies in the mask.

    The site's curve is straight, so that what changes in one place does not turn the curve for all others.
    """
    frame, size, site = frame_of(7), 96, replace(SITES[0], curve=0.0, boost=0.0)
    films = []
    for cases in ([], [Case(finding, 0.7, 2)]):
        scene = scene_of(frame, disease_of(frame, cases), view, size)
        rng = np.random.default_rng(0)
        films.append(render_film(scene, STRAIGHT[view], site, size, 1e9, 0.4, rng))
    change = np.abs(films[1].values - films[0].values)
    mask = films[1].sightings[0].mask
    x0, y0, x1, y1 = films[1].sightings[0].box or (0, 0, 0, 0)
    assert mask.any()
    assert mask[y0:y1, x0:x1].sum() == mask.sum()
    assert view == "LATERAL" or films[1].sightings[0].visibility > 0  # an apex may be lost under the shoulders
    assert change[mask].mean() > 3 * change[~mask].mean()


@pytest.mark.parametrize(
    "finding", ["Consolidation", "Lung Lesion", "Pleural Effusion", "Cardiomegaly", "Pneumothorax"]
)
def test_change_of_a_finding_equals_rendering_without_it(finding: str) -> None:
    """What `project` says a finding adds is what goes when the study is built without it."""
    frame, rays = frame_of(9), pose_rays(STRAIGHT["PA"], 64)
    scene = scene_of(frame, disease_of(frame, [Case(finding, 0.6, 1)]), "PA", 64)
    total, found = project(scene, rays)
    healthy, _ = project(scene_of(frame, disease_of(frame, []), "PA", 64), rays)
    moved = 0.05 if finding == "Pneumothorax" else 0.002  # a collapsed lung takes its vessels along
    assert np.abs(total - found[0] - healthy).mean() < moved
    assert np.abs(found[0]).max() > 0.1


def test_consolidation_behind_the_heart_shows_less_from_the_front() -> None:
    seen: dict[str, list[float]] = {"PA": [], "LATERAL": []}
    for number in range(8):
        frame = frame_of(number)
        for episode in range(6):
            disease = disease_of(frame, [Case("Consolidation", 0.6, episode)], hidden_share=1.0)
            centre = disease.effects[0].layers[0].solids.centre[0]
            if disease.effects[0].side == "right" or centre[2] < -75:  # in the recess, not behind the heart
                continue
            for view, found in seen.items():
                scene = scene_of(frame, disease, view, 64)
                film = render_film(scene, STRAIGHT[view], SITES[0], 64, 1e9, 0.6, np.random.default_rng(0))
                found.append(film.sightings[0].visibility)
    assert len(seen["PA"]) >= 3
    assert np.mean(seen["PA"]) < 0.9 * np.mean(seen["LATERAL"])


def test_effusion_lies_low_and_grows_with_severity() -> None:
    frame, rays = frame_of(4), pose_rays(STRAIGHT["PA"], 64)
    mass, height = [], []
    for severity in (0.1, 0.5, 0.9):
        disease = disease_of(frame, [Case("Pleural Effusion", severity, 1)])
        _, found = project(scene_of(frame, disease, "PA", 64), rays)
        mass.append(found[0].sum())
        height.append(np.average(rays.v, weights=found[0].sum(1)))
    assert mass[0] < mass[1] < mass[2]
    assert all(h < -60 for h in height)


def test_a_bigger_heart_takes_more_room() -> None:
    body = frame_of(2).body
    points = np.random.default_rng(0).uniform([-140, -90, -150], [140, 90, 120], (20000, 3))
    room = [
        sum(build_organs(body, Structure(heart=factor)).in_lung(side, points).sum() for side in SIDES)
        for factor in (1.0, 1.15, 1.3)
    ]
    assert room[0] > room[1] > room[2]


def test_blur_keeps_flat_images_and_the_mean_of_others() -> None:
    rng = np.random.default_rng(0)
    flat = np.full((128, 128), 3.0)
    np.testing.assert_allclose(blur(flat, SCATTER_WIDTH, 2.8), flat, rtol=1e-9)
    spot = np.zeros((128, 128))
    spot[60:68, 60:68] = rng.random((8, 8))
    blurred = blur(spot, 12.0, 2.8)
    assert blurred.sum() == pytest.approx(spot.sum(), rel=0.02)
    assert blurred.max() < 0.5 * spot.max()


def test_rendering_in_bands_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, rays = frame_of(1), pose_rays(STRAIGHT["LATERAL"], 64)
    scene = scene_of(frame, disease_of(frame, [Case("Edema", 0.5, 1), Case("Pneumothorax", 0.5, 1)]), "LATERAL", 64)
    whole = project(scene, rays)
    monkeypatch.setattr("core.data.phantom.projection.BAND", 5 * 64)
    for one, other in zip(whole, project(scene, rays), strict=True):
        np.testing.assert_allclose(one, other, atol=5e-4)  # single precision
