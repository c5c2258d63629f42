"""Which findings each study has, and how severe: correlated between findings, persistent between visits.

A Gaussian copula: finding f is present when a latent normal exceeds the quantile of its prevalence, so that shares come
out as set whatever the correlation. Latents load on common causes (a failing heart, an infection, an injured or
ventilated patient) and follow a first-order autoregression over a patient's studies.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist

import numpy as np

from core.data.phantom.findings import Case
from core.data.phantom.streams import stream

# Loadings on: heart failure, infection, injury and intensive care, old pleural disease. Squares sum to at most 1.
LOADINGS = {
    "Atelectasis": (0.25, 0.25, 0.55, 0.15),
    "Cardiomegaly": (0.80, 0.0, 0.0, 0.0),
    "Consolidation": (0.0, 0.80, 0.15, 0.0),
    "Edema": (0.80, 0.1, 0.2, 0.0),
    "Enlarged Cardiomediastinum": (0.45, 0.0, 0.2, 0.0),
    "Fracture": (0.0, 0.0, 0.40, 0.1),
    "Lung Lesion": (0.0, 0.1, 0.0, 0.35),
    "Lung Opacity": (0.15, 0.60, 0.2, 0.0),
    "Pleural Effusion": (0.60, 0.25, 0.35, 0.25),
    "Pleural Other": (0.0, 0.1, 0.1, 0.70),
    "Pneumonia": (0.0, 0.85, 0.1, 0.0),
    "Pneumothorax": (0.0, 0.0, 0.60, 0.15),
    "Support Devices": (0.45, 0.1, 0.65, 0.0),
}
SEVERE_TOGETHER = 0.75  # correlation of severity from one study to the next, relative to that of presence


def _walk(count: int, width: int, persistence: float, rng: np.random.Generator) -> np.ndarray:
    """Standard normals [count, width] that persist from row to row."""
    fresh = rng.normal(size=(count, width))
    for row in range(1, count):
        fresh[row] = persistence * fresh[row - 1] + np.sqrt(1 - persistence**2) * fresh[row]
    return fresh


def draw_disease(
    seed: int,
    patient: int,
    studies: int,
    prevalence: Mapping[str, float],
    cooccurrence: float,
    persistence: float,
    severity: tuple[float, float],
) -> list[list[Case]]:
    """The cases of each of a patient's studies, in order of time."""
    rng = stream(seed, patient, "disease")
    names = list(LOADINGS)
    loads = np.sqrt(cooccurrence) * np.array([LOADINGS[n] for n in names])
    causes = _walk(studies, loads.shape[1], persistence, rng)
    own = _walk(studies, len(names), persistence, rng)
    latent = causes @ loads.T + own * np.sqrt(1 - (loads**2).sum(1))
    grave = _walk(studies, len(names), SEVERE_TOGETHER * persistence, rng)
    history: list[list[Case]] = [[] for _ in range(studies)]
    for column, name in enumerate(names):
        share = prevalence[name]
        if share <= 0:
            continue
        present = latent[:, column] > NormalDist().inv_cdf(1 - share)
        onsets = np.cumsum(present & ~np.concatenate([[False], present[:-1]]))
        for study in np.flatnonzero(present):
            rank = NormalDist().cdf(float(grave[study, column]))
            amount = severity[0] + (severity[1] - severity[0]) * rank
            history[study].append(Case(name, amount, int(onsets[study])))
    return history
