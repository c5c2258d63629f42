"""From throughput results to the rows of a table: what each cell takes, its ratio to the first, its efficiency."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.collect import Collected, MetricName
from sweeps.declared import DeclaredCell

EVALUATION = "throughput"
# Axes along which cells differ in nothing but how many processes train together.
PROCESS_AXES = ("processes", "runtime.processes", "runtime.nodes")


@dataclass(frozen=True)
class SpeedColumn:
    """A column. key: of the metric, or of what is computed here. scale: shown = value x scale. spread: shown too."""

    key: str
    title: str
    digits: int
    scale: float = 1.0
    spread: bool = False


RATE = SpeedColumn("images_per_second", "Images/s", 1, spread=True)
RATIO = SpeedColumn("ratio", "Ratio to the first", 2, spread=True)
EFFICIENCY = SpeedColumn("efficiency", "Efficiency", 2, spread=True)
MEASURED = (
    SpeedColumn("mfu", "MFU, %", 2, scale=100),
    SpeedColumn("step_seconds", "Step, ms", 1, scale=1e3),
    SpeedColumn("data_wait_seconds", "Waiting for data, ms", 2, scale=1e3),
    SpeedColumn("communication_seconds", "Communication, ms", 2, scale=1e3),
    SpeedColumn("peak_memory_bytes", "Memory, MiB", 0, scale=2**-20),
    SpeedColumn("first_step_seconds", "First step, s", 2),
)


@dataclass(frozen=True)
class Spread:
    """Mean, least and greatest value over repetitions; NaN where there is none."""

    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of some values."""
        return cls(sum(values) / len(values), min(values), max(values)) if values else cls()

    def over(self, base: Spread, times: float = 1.0) -> Spread:
        """The ratio to `times` x base: of the means, and the least and greatest that any two repetitions give."""
        return Spread(self.mean / (times * base.mean), self.low / (times * base.high), self.high / (times * base.low))


@dataclass(frozen=True)
class SpeedRow:
    """A cell. entries: by column key. found of declared repetitions are there. processes, nodes: 0 without a result."""

    cell: DeclaredCell
    entries: Mapping[str, Spread]
    found: int
    declared: int
    processes: int
    nodes: int

    @property
    def series(self) -> tuple[tuple[str, str], ...]:
        """What it has in common with the rows that differ from it in the number of processes alone."""
        return tuple((key, str(value)) for key, value in self.cell.values.items() if key not in PROCESS_AXES)


@dataclass(frozen=True)
class SpeedSummary:
    """An ablation's table. columns: in order."""

    collected: Collected
    columns: tuple[SpeedColumn, ...]
    rows: tuple[SpeedRow, ...]


def summarise_speed(collected: Collected) -> SpeedSummary:
    """The rows of a throughput ablation; efficiency where its cells differ in their number of processes."""
    rows = [_row(cell, collected) for cell in collected.plan.cells]
    scales = len({(row.processes, row.nodes) for row in rows if row.processes}) > 1
    derived = (RATIO, EFFICIENCY) if scales else (RATIO,)
    return SpeedSummary(collected, (RATE, *derived, *MEASURED), tuple(_derived(row, rows) for row in rows))


def _row(cell: DeclaredCell, collected: Collected) -> SpeedRow:
    def values(metric: str) -> list[float]:
        return list(collected.values(cell.trials, MetricName(EVALUATION, metric)).values())

    entries = {column.key: Spread.of(values(column.key)) for column in (RATE, *MEASURED)}
    processes, nodes = (int(max(values(name), default=0)) for name in ("processes", "nodes"))
    return SpeedRow(cell, entries, len(values(RATE.key)), len(cell.seeds), processes, nodes)


def _derived(row: SpeedRow, rows: Sequence[SpeedRow]) -> SpeedRow:
    """The row with its ratio to the first row, and its efficiency."""
    rate, none = row.entries[RATE.key], Spread()
    single = next((r for r in rows if r.series == row.series and r.processes == 1), None)
    ratio = rate.over(rows[0].entries[RATE.key])
    efficiency = rate.over(single.entries[RATE.key], row.processes) if single and row.processes else none
    entries = {**row.entries, RATIO.key: ratio, EFFICIENCY.key: efficiency}
    return SpeedRow(row.cell, entries, row.found, row.declared, row.processes, row.nodes)
