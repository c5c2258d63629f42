"""What a row costs beside how good it is, and which rows no other beats at both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.collect import MetricName
from analysis.statistics import Estimate
from analysis.summary import Row, Summary


@dataclass(frozen=True)
class Efficiency:
    """A row's macro AUROC at the main label fraction and its cost, means over seeds; NaN = not measured.

    hours: device hours of training. memory: peak, bytes. parameters: of the model.
    is_on_front: no other row is at least as good for fewer device hours, nor better for as many.
    """

    row: str
    auroc: Estimate
    hours: float
    images_per_second: float
    memory: float
    parameters: float
    is_on_front: bool = False


def efficiency(summary: Summary) -> list[Efficiency]:
    """Every row that has a macro AUROC; none where no row says what it took."""
    found = [_of(row, summary) for row in summary.rows if not row.entries[summary.main.key].is_empty]
    if not any(math.isfinite(e.hours) for e in found):
        return []
    front = pareto_front([(e.hours, e.auroc.mean) for e in found])
    return [replace(e, is_on_front=place in front) for place, e in enumerate(found)]


def _of(row: Row, summary: Summary) -> Efficiency:
    def cost(name: str) -> float:
        trials = row.cell.trials_at(summary.main.fraction) or row.cell.trials
        values = list(summary.collected.values(trials, MetricName("cost", name)).values())
        return sum(values) / len(values) if values else math.nan

    hours = cost("device_hours")
    return Efficiency(
        row=row.cell.name,
        auroc=row.entries[summary.main.key].estimate,
        hours=hours if math.isfinite(hours) else cost("seconds") / 3600,
        images_per_second=cost("images_per_second"),
        memory=cost("peak_memory_bytes"),
        parameters=cost("parameters"),
    )


def pareto_front(points: Sequence[tuple[float, float]]) -> set[int]:
    """Places of the points (cost, value) that no other dominates: as cheap and as good, and better at one of them.

    A point without a cost or a value is on no front.
    """
    known = [(place, *point) for place, point in enumerate(points) if all(map(math.isfinite, point))]
    return {
        place
        for place, cost, value in known
        if not any(c <= cost and v >= value and (c < cost or v > value) for _, c, v in known)
    }
