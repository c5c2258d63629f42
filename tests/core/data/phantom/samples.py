"""Chests and brute-force rays that the phantom's tests share."""

from __future__ import annotations

import numpy as np

from core.data.phantom.body import Body, draw_body
from core.data.phantom.effects import Disease
from core.data.phantom.film import Pose, pose_rays
from core.data.phantom.findings import Case, place_findings
from core.data.phantom.geometry import Array, Solids
from core.data.phantom.organs import Structure
from core.data.phantom.projection import Frame, Scene, build_frame, build_scene, study_parts
from core.data.phantom.rays import Rays
from core.data.phantom.streams import stream

STRAIGHT = {view: Pose(view, 0.0, 0.0, 0.0, (0.0, 0.0)) for view in ("PA", "AP", "LATERAL")}


def frame_of(number: int) -> Frame:
    """Patient `number` of seed 0."""
    return build_frame(0, draw_body(0, number))


def disease_of(frame: Frame, cases: list[Case], hidden_share: float = 0.0) -> Disease:
    """The findings of one study, placed by streams of seed 0."""
    number = frame.body.number

    def rng_of(case: Case) -> np.random.Generator:
        return stream(0, number, case.finding, case.episode)

    return place_findings(frame.body, Structure(), cases, frame.trees, hidden_share, rng_of)


def scene_of(frame: Frame, disease: Disease, view: str, size: int) -> Scene:
    """The chest as it stands for one view."""
    parts = study_parts(frame, disease, pose_rays(STRAIGHT[view], size).pitch)
    return build_scene(frame, disease, parts, "raised" if view == "LATERAL" else "down")


def sampled_length(solids: Solids, rays: Rays, combine: str, count: int = 4001, reach: float = 300.0) -> Array:
    """Length [H * W], mm, of every ray inside the union ("any") or intersection ("all") of solids, by sampling."""
    t = np.linspace(-reach, reach, count)
    points = rays.points(t)
    inside = solids.contains(points.reshape(-1, 3)).reshape(len(solids), count, -1)
    whole = inside.any(0) if combine == "any" else inside.all(0)
    return np.asarray(whole.sum(0) * (t[1] - t[0]) * rays.stretch())


__all__ = ["STRAIGHT", "Body", "Case", "disease_of", "frame_of", "sampled_length", "scene_of"]
