"""One patient from the first visit to the last, before anything is rendered: ids, dates, disease, films, labels."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np

from core.data.phantom.body import Body, draw_body
from core.data.phantom.config import PhantomConfig
from core.data.phantom.disease import draw_disease
from core.data.phantom.findings import Case
from core.data.phantom.labels import report
from core.data.phantom.sites import SITES, Site
from core.data.phantom.streams import hex_digits, stream

ID_SPACE, ID_STEP = 10_000_000, 6_700_417  # coprime, so that numbers map to ids one to one
STUDIES_MAX = 100


@dataclass(frozen=True)
class FilmPlan:
    """One film: its id and its view as the header spells it (AP | PA | LATERAL | LL)."""

    dicom_id: str
    view: str

    @property
    def geometry(self) -> str:
        """AP | PA | LATERAL."""
        return "LATERAL" if self.view in ("LATERAL", "LL") else self.view


@dataclass(frozen=True)
class StudyPlan:
    """One visit."""

    number: int
    study_id: str
    date: str
    time: str
    age: int
    cases: list[Case]
    labels: dict[str, float]
    films: list[FilmPlan]


@dataclass(frozen=True)
class PatientPlan:
    """One patient."""

    body: Body
    subject_id: str
    site: Site
    studies: list[StudyPlan]


def subject_id(seed: int, patient: int) -> str:
    """Eight digits that begin with 1, different for every patient of a seed."""
    return str(10_000_000 + (patient * ID_STEP + 7919 * (seed + 1)) % ID_SPACE)


def study_id(seed: int, patient: int, study: int) -> str:
    """Eight digits that begin with 5, different for every study of a seed."""
    return str(50_000_000 + ((patient * STUDIES_MAX + study) * ID_STEP + 104729 * (seed + 1)) % ID_SPACE)


def dicom_id(seed: int, patient: int, study: int, film: int) -> str:
    """Five groups of eight hex digits."""
    digits = hex_digits(seed, patient, "film", study, film, length=40)
    return "-".join(digits[i : i + 8] for i in range(0, 40, 8))


def _views(config: PhantomConfig, site: Site, portable: bool, rng: np.random.Generator) -> list[str]:
    frontal = "AP" if portable else "PA"
    single, lateral_only, second, second_portable = rng.random(4)
    if single < config.single_view_share:
        views = [site.lateral] if lateral_only < 0.15 else [frontal]
    else:
        views = [frontal, site.lateral]
    if second < config.two_frontals_share and frontal in views:
        views.insert(1, "AP" if second_portable < 0.5 else frontal)
    return views


def _plan_study(
    config: PhantomConfig, body: Body, site: Site, number: int, cases: list[Case], day: datetime.date
) -> StudyPlan:
    rng = stream(config.seed, body.number, "study", number)
    # The sick are filmed at the bed more often; the mean over studies stays near the configured share.
    ill = any(case.finding == "Support Devices" for case in cases)
    portable = bool(rng.random() < min(1.0, config.portable_share * (1.6 if ill else 0.8)))
    views = _views(config, site, portable, rng)
    second = int(rng.integers(6 * 3600, 22 * 3600))
    films = [FilmPlan(dicom_id(config.seed, body.number, number, i), view) for i, view in enumerate(views)]
    return StudyPlan(
        number=number,
        study_id=study_id(config.seed, body.number, number),
        date=day.strftime("%Y%m%d"),
        time=f"{second // 3600:02d}{second // 60 % 60:02d}{second % 60:02d}.{int(rng.integers(1000)):03d}",
        age=body.age,
        cases=cases,
        labels=report(cases, config.uncertain_share, config.blank_share, rng),
        films=films,
    )


def plan_patient(config: PhantomConfig, number: int) -> PatientPlan:
    """The plan of patient `number`: a function of the settings, the seed and the number alone."""
    body = draw_body(config.seed, number)
    rng = stream(config.seed, number, "visits")
    chosen = config.sites[int(rng.integers(len(config.sites)))]
    site = next(s for s in SITES if s.name == chosen)
    count = min(1 + int(rng.poisson(config.studies_per_patient - 1)), STUDIES_MAX)
    day = datetime.date(2110, 1, 1) + datetime.timedelta(days=int(rng.integers(0, 30000)))
    history = draw_disease(
        config.seed,
        number,
        count,
        config.shares,
        config.cooccurrence,
        config.persistence,
        (float(config.severity[0]), float(config.severity[1])),
    )
    studies = []
    for index, cases in enumerate(history):
        studies.append(_plan_study(config, body, site, index, cases, day))
        day += datetime.timedelta(days=int(rng.integers(1, 90)))
    return PatientPlan(body, subject_id(config.seed, number), site, studies)
