"""Settings of the phantom, each checked."""

from __future__ import annotations

from dataclasses import dataclass

from core.config import DataConfig, setting
from core.data.phantom.sites import SITES
from core.errors import check_choice, check_range, require

# About the shares of MIMIC-CXR's studies; the rarest are raised so that a thousand patients hold some of each.
PREVALENCE = {
    "Atelectasis": 0.20,
    "Cardiomegaly": 0.20,
    "Consolidation": 0.08,
    "Edema": 0.14,
    "Enlarged Cardiomediastinum": 0.08,
    "Fracture": 0.07,
    "Lung Lesion": 0.08,
    "Lung Opacity": 0.10,
    "Pleural Effusion": 0.22,
    "Pleural Other": 0.06,
    "Pneumonia": 0.10,
    "Pneumothorax": 0.07,
    "Support Devices": 0.25,
}


@dataclass
class PhantomConfig(DataConfig):
    """A made data set of 3-D chests. Shares are of studies unless said otherwise, from 0 to 1."""

    name: str = setting("phantom", "which reader (see core/data/readers)")
    patients: int = setting(500, "patients")
    seed: int = setting(0, "seed of every patient, disease and film")
    studies_per_patient: float = setting(1.5, "mean number of studies of a patient (at least 1)")
    prevalence: dict[str, float] = setting(PREVALENCE, "share of studies with each finding; one left out: its default")
    cooccurrence: float = setting(0.5, "how strongly findings come together (0 = independent)")
    persistence: float = setting(0.7, "correlation of a patient's disease from one study to the next")
    severity: list[float] = setting([0.2, 1.0], "least and greatest severity: 0 = at the edge of being seen, 1 = gross")
    hidden_share: float = setting(0.25, "share of focal findings placed where one view hides them")
    single_view_share: float = setting(0.2, "share of studies with one view only")
    two_frontals_share: float = setting(0.1, "share of studies with a second frontal film")
    portable_share: float = setting(0.3, "share of studies whose frontal films are AP, taken at the bed")
    uncertain_share: float = setting(0.06, "share of a study's labels that the report hedges (-1), mild findings first")
    blank_share: float = setting(0.3, "share of absent findings that the report does not mention")
    film_size: int = setting(0, "side of a film, px; 0 = data.size")
    dose: float = setting(40000.0, "quanta / mm^2 in the open beam; less = more noise")
    scatter: float = setting(0.6, "scattered rays / primary rays")
    sites: list[str] = setting([site.name for site in SITES], "hospitals, by patient in even shares")
    processes: int = setting(0, "processes that render, 0 = one a core; changes no byte of the data")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("data.patients", self.patients, 3, 100_000)
        check_range("data.seed", self.seed, 0, 2**31 - 1)
        check_range("data.studies_per_patient", self.studies_per_patient, 1, 20)
        for name, share in self.prevalence.items():
            check_choice("data.prevalence", name, PREVALENCE)
            check_range(f"data.prevalence[{name}]", share, 0, 1, open_high=True)
        for name in ("cooccurrence", "persistence"):
            check_range(f"data.{name}", getattr(self, name), 0, 1)
        for name in ("hidden", "single_view", "two_frontals", "portable", "uncertain", "blank"):
            check_range(f"data.{name}_share", getattr(self, f"{name}_share"), 0, 1)
        require(
            len(self.severity) == 2 and 0 <= self.severity[0] <= self.severity[1] <= 1,
            f"data.severity={list(self.severity)} is not a range inside [0, 1]",
            "give two numbers, the least first, such as [0.1, 1.0]",
        )
        self._check_films()

    def _check_films(self) -> None:
        require(
            self.film_size == 0 or 32 <= self.film_size <= 1024,
            f"data.film_size={self.film_size} is neither 0 nor inside [32, 1024]",
            "set data.film_size=0 to render at data.size",
        )
        require(self.pixels >= 32, f"data.size={self.size} is too small for a film", "set data.film_size=32 or more")
        check_range("data.dose", self.dose, 1, 1e9)
        check_range("data.scatter", self.scatter, 0, 10)
        check_range("data.processes", self.processes, 0, 4096)
        require(len(self.sites) > 0, "data.sites is empty", "name at least one site")
        require(len(set(self.sites)) == len(self.sites), f"data.sites={list(self.sites)} names a site twice")
        for site in self.sites:
            check_choice("data.sites", site, [s.name for s in SITES])

    @property
    def pixels(self) -> int:
        """Side of a rendered film, px."""
        return self.film_size or self.size

    @property
    def shares(self) -> dict[str, float]:
        """Prevalence of every finding, with the defaults of those that the user left out."""
        return {name: float(self.prevalence.get(name, default)) for name, default in PREVALENCE.items()}
