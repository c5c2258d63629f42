"""Site leakage beside the target metric: how well the site can be told from features, and the findings."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.kinds.base import KindColumn, KindTable, kind_rows, macro_auroc, resampled_rows, unit_means
from analysis.resample import BootstrapConfig, Doubles
from analysis.summary import Summary
from core.evaluation.written import LEAKAGE

TARGET = KindColumn("macro_auroc", "AUROC of labels")
COLUMNS = (
    KindColumn("site_accuracy", "Site accuracy", best=False),
    KindColumn("site_balanced_accuracy", "balanced", best=False),
    KindColumn("site_auroc", "Site AUROC", best=False),
    TARGET,
)


def table(summary: Summary) -> KindTable | None:
    """A row per row of the main table with a site probe; None where none has."""
    resampled = resampled_rows(summary, LEAKAGE, measure)
    if not resampled:
        return None
    resampled[TARGET.key] = {
        row.cell.name: row.resamples[summary.main.key] for row in summary.rows if summary.main.key in row.resamples
    }
    probed = set(resampled[COLUMNS[0].key])
    rows = tuple(row for row in kind_rows(summary, COLUMNS, resampled) if row.row in probed)
    chances = [value for row in rows for value in _measured(summary, row.row, "site_chance")]
    chance = f"always naming the most frequent training site would be right for {np.mean(chances):.3f} of the studies"
    notes = ("a linear probe that predicts the site from frozen features: the nearer to chance, the less leaks", chance)
    return KindTable("leakage", "Site leakage", COLUMNS, rows, notes)


def _measured(summary: Summary, row: str, metric: str) -> list[float]:
    found = summary.collected.table
    own = (found["cell"] == row) & (found["evaluation"] == "leakage") & (found["metric"] == metric)
    return [float(value) for value in found["value"][own]]


def measure(frame: pd.DataFrame, config: BootstrapConfig) -> dict[str, Doubles]:
    """Accuracy, balanced accuracy and AUROC of one trial's site probe in every resample of the patients."""
    sites = [str(name)[2:] for name in frame.columns if str(name).startswith("y:")]
    truth = frame[[f"y:{site}" for site in sites]].to_numpy().argmax(axis=1)
    guess = frame[[f"p:{site}" for site in sites]].to_numpy().argmax(axis=1)
    right = frame[["study_id", "patient_id"]].assign(value=(truth == guess).astype(float))
    overall = right.assign(metric="site_accuracy", label="")
    by_site = right.assign(metric="site_balanced_accuracy", label=np.array(sites)[truth])
    found = unit_means(pd.concat([overall, by_site], ignore_index=True), config)
    return found | {"site_auroc": macro_auroc(frame, config)}
