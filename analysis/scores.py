"""Predictions of a trial as arrays, held against the studies that every other trial was measured on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.resample import Doubles, TestStudies

ScoreKey = tuple[str, float]
TrialScores = dict[ScoreKey, Doubles]


class UnlikeStudiesError(ValueError):
    """Predictions of other studies, labels or truths than those they stand beside."""


def read_scores(predictions: pd.DataFrame) -> tuple[TestStudies, TrialScores]:
    """The test studies, and study-level probabilities by (evaluation, label fraction), [D, S, L], a row per draw.

    A missing label fraction (an evaluation that uses all labels) counts as 1. Raises UnlikeStudiesError when the
    evaluations of the trial are not of the same studies.
    """
    frame = predictions[predictions["view"] == "study"]
    if frame.empty:
        raise UnlikeStudiesError("its predictions hold no study")
    fractions = frame["label_fraction"].fillna(1.0).round(9)
    parts = [part for _, part in frame.groupby([frame["evaluation"], fractions, frame["draw"]])]
    studies = studies_of(parts[0])
    found: dict[ScoreKey, list[Doubles]] = {}
    for part in parts:
        first = part.index[0]
        key = str(part["evaluation"].iloc[0]), float(fractions.loc[first])
        found.setdefault(key, []).append(align(part, studies))
    return studies, {key: np.stack(draws) for key, draws in found.items()}


def studies_of(part: pd.DataFrame) -> TestStudies:
    """The test studies that one evaluation's predictions are of, sorted by patient and study."""
    ordered = part.sort_values(["patient_id", "study_id"])
    labels = tuple(str(c)[2:] for c in ordered.columns if str(c).startswith("y:"))
    patient = np.unique(ordered["patient_id"].to_numpy(dtype=str), return_inverse=True)[1]
    truth = ordered[[f"y:{label}" for label in labels]].to_numpy(dtype=np.float64)
    return TestStudies(ordered["study_id"].to_numpy(dtype=str), patient.astype(np.int64), labels, truth)


def align(part: pd.DataFrame, studies: TestStudies) -> Doubles:
    """Probabilities [S, L] of one evaluation's predictions in the order of `studies`."""
    ids = part["study_id"].to_numpy(dtype=str)
    order = np.argsort(ids)
    places = order[np.minimum(np.searchsorted(ids, studies.study_ids, sorter=order), len(ids) - 1)]
    if len(ids) != studies.n_studies or not np.array_equal(ids[places], studies.study_ids):
        raise UnlikeStudiesError("two of its evaluations are of different studies")
    scores: Doubles = part[[f"p:{label}" for label in studies.labels]].to_numpy(dtype=np.float64)[places]
    return scores
