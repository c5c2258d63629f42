"""Transfer: the probe on another data set's test studies, beside the same labels at home."""

from __future__ import annotations

import pandas as pd

from analysis.kinds.base import KindColumn, KindTable, kind_rows, macro_auroc, resampled_rows
from analysis.resample import BootstrapConfig, Doubles
from analysis.summary import Summary
from core.evaluation.written import TARGET, TRANSFER, TRANSFER_HOME

COLUMNS = (KindColumn("target_macro_auroc", "AUROC on the target"), KindColumn("home_macro_auroc", "AUROC at home"))


def table(summary: Summary) -> KindTable | None:
    """A row per row of the main table with a transfer; None where none has."""
    resampled = resampled_rows(summary, TRANSFER, away)
    if not resampled:
        return None
    resampled |= resampled_rows(summary, TRANSFER_HOME, home)
    notes: tuple[str, ...] = (
        "a linear probe of this data set's training labels, macro AUROC over the labels that both data sets have",
    )
    lacking = absent(summary)
    if lacking:
        notes += (f"labels that the target data set does not have: {', '.join(lacking)}",)
    return KindTable("transfer", "Transfer to another data set", COLUMNS, kind_rows(summary, COLUMNS, resampled), notes)


def absent(summary: Summary) -> list[str]:
    """Labels of which the target holds nothing, as the trials noted them."""
    found = summary.collected.table
    noted = (found["evaluation"] == "transfer") & (found["view"] == TARGET) & (found["n"] == 0) & (found["label"] != "")
    return sorted(set(found["label"][noted]))


def away(frame: pd.DataFrame, config: BootstrapConfig) -> dict[str, Doubles]:
    """The macro AUROC of one trial on the target in every resample of its patients."""
    return {COLUMNS[0].key: macro_auroc(frame, config)}


def home(frame: pd.DataFrame, config: BootstrapConfig) -> dict[str, Doubles]:
    """The macro AUROC of one trial on its own data set in every resample of its patients."""
    return {COLUMNS[1].key: macro_auroc(frame, config)}
