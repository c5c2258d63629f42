"""What figures of files beside the results share: the rows, best first, and a row's arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.summary import Row, Summary
from core.errors import DataError


def ranked(summary: Summary) -> list[Row]:
    """Rows by their main metric, best first; rows without a number last."""
    means = [row.entries[summary.main.key].estimate.mean for row in summary.rows]
    order = sorted(range(len(means)), key=lambda place: -means[place] if np.isfinite(means[place]) else np.inf)
    return [summary.rows[place] for place in order]


def row_arrays(summary: Summary, row: Row, file: str) -> dict[str, Any] | None:
    """The arrays of the row's first seed that has the .npz `file`, or None."""
    for trial in sorted(row.cell.trials, key=lambda t: t.seed):
        loaded = summary.collected.results.get(trial.id)
        if loaded is None or file not in loaded.result.files:
            continue
        try:
            with np.load(loaded.result.file(file), allow_pickle=False) as saved:
                return {name: saved[name] for name in saved.files}
        except DataError:
            # A damaged picture is no reason to lose the table: another seed's is as good.
            continue
    return None
