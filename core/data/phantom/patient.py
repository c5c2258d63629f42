"""Render one patient: every film as DICOM, every finding's mask, and the patient's rows of the tables."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from core.data.phantom.config import PhantomConfig
from core.data.phantom.effects import Disease
from core.data.phantom.film import FIELD, draw_pose
from core.data.phantom.findings import place_findings
from core.data.phantom.organs import Structure
from core.data.phantom.plan import FilmPlan, PatientPlan, StudyPlan, plan_patient
from core.data.phantom.projection import Frame, build_frame, build_scene, study_parts
from core.data.phantom.render import Film, Sighting, render_film
from core.data.phantom.streams import stream

Row = dict[str, Any]


def patient_folder(subject: str) -> str:
    """p10/p10000032: where a patient's files lie below files/ and masks/."""
    return f"p{subject[:2]}/p{subject}"


def slug(finding: str) -> str:
    """A finding's name as it stands in file names."""
    return finding.lower().replace(" ", "-")


def study_disease(config: PhantomConfig, plan: PatientPlan, study: StudyPlan, frame: Frame) -> Disease:
    """The study's findings in 3-D. A shallow breath at the bed raises both domes."""
    seed, number = config.seed, plan.body.number
    breath = stream(seed, number, "breath", study.number).normal(0, 5)
    if study.films[0].view == "AP":
        breath += 9
    structure = Structure(dome_right=breath, dome_left=breath)
    return place_findings(
        plan.body,
        structure,
        study.cases,
        frame.trees,
        config.hidden_share,
        lambda case: stream(seed, number, "place", case.finding, case.episode),
    )


def render_study(config: PhantomConfig, plan: PatientPlan, study: StudyPlan, frame: Frame) -> list[Film]:
    """All films of one study, in order."""
    disease = study_disease(config, plan, study, frame)
    parts, scenes = study_parts(frame, disease, FIELD / config.pixels), {}
    films = []
    for index, film in enumerate(study.films):
        arms = "raised" if film.geometry == "LATERAL" else "down"
        if arms not in scenes:
            scenes[arms] = build_scene(frame, disease, parts, arms)
        rng = stream(config.seed, plan.body.number, "film", study.number, index)
        pose = draw_pose(film.geometry, rng)
        films.append(render_film(scenes[arms], pose, plan.site, config.pixels, config.dose, config.scatter, rng))
    return films


def render_patient(config: PhantomConfig, number: int, files: Path, masks: Path) -> dict[str, list[Row]]:
    """Write patient `number`'s films below `files` and masks below `masks` (folders that do not exist yet).

    Returns the patient's rows of each table: images, studies, findings.
    """
    # Imported here: pydicom takes half a second, and who only knows of the phantom writes no film.
    from core.data.phantom.dicom_writer import write_film

    plan = plan_patient(config, number)
    frame = build_frame(config.seed, plan.body)
    rows: dict[str, list[Row]] = {"images": [], "studies": [], "findings": []}
    for study in plan.studies:
        folders = [root / f"s{study.study_id}" for root in (files, masks)]
        for folder in folders:
            folder.mkdir(parents=True)
        rows["studies"].append(_study_row(plan, study))
        for index, film in enumerate(render_study(config, plan, study, frame), start=1):
            image = study.films[index - 1]
            write_film(folders[0] / f"{image.dicom_id}.dcm", plan, study, image, index, film)
            rows["images"].append(_image_row(plan, study, image, film))
            for sighting in film.sightings:
                rows["findings"].append(_finding_row(study, image, sighting))
                if sighting.box is not None:
                    write_mask(folders[1] / f"{image.dicom_id}_{slug(sighting.effect.finding)}.png", sighting)
    return rows


def write_mask(path: Path, sighting: Sighting) -> None:
    """The finding's mask as a 1-bit grey PNG (ISO 15948). Pillow takes ten times as long for one so small."""
    rows, columns = sighting.mask.shape
    lines = np.packbits(sighting.mask, axis=1)
    unfiltered = np.pad(lines, ((0, 0), (1, 0)))  # each line opens with the number of its filter, 0 for none
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", columns, rows, 1, 0, 0, 0, 0),
        b"IDAT": zlib.compress(unfiltered.tobytes(), 1),
        b"IEND": b"",
    }
    body = (
        struct.pack(">I", len(x)) + name + x + struct.pack(">I", zlib.crc32(name + x)) for name, x in chunks.items()
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(body))


def _study_row(plan: PatientPlan, study: StudyPlan) -> Row:
    return {
        "subject_id": plan.subject_id,
        "study_id": study.study_id,
        "site": plan.site.name,
        "sex": plan.body.sex,
        "age": study.age,
        "labels": {name: None if value != value else value for name, value in study.labels.items()},
    }


def _image_row(plan: PatientPlan, study: StudyPlan, image: FilmPlan, film: Film) -> Row:
    rows, columns = film.values.shape
    return {
        "dicom_id": image.dicom_id,
        "subject_id": plan.subject_id,
        "study_id": study.study_id,
        "view": image.view,
        "rows": rows,
        "columns": columns,
        "date": study.date,
        "time": study.time,
        "films": len(study.films),
    }


def _finding_row(study: StudyPlan, image: FilmPlan, sighting: Sighting) -> Row:
    effect = sighting.effect
    return {
        "study_id": study.study_id,
        "dicom_id": image.dicom_id,
        "finding": effect.finding,
        "severity": round(effect.severity, 4),
        "side": effect.side,
        "visibility": round(sighting.visibility, 5),
        **dict(zip(("x0", "y0", "x1", "y1"), sighting.box or ("",) * 4, strict=True)),
    }
