"""From results to the rows of a table: what is known of each cell in each column, with its interval and holes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.collect import Collected, MetricName
from analysis.resample import BootstrapConfig, LabelResamples, Resampler, TestStudies
from analysis.scores import ScoreKey
from analysis.statistics import Estimate, SeedResamples, estimate, mark_best, moderated
from sweeps.declared import DeclaredCell

USUAL_FRACTIONS = (0.01, 0.1, 1.0)


@dataclass(frozen=True)
class Column:
    """One column of the table. key: its name in the CSV. title: its heading. digits: decimals shown.

    fraction: the label fraction of an AUROC column, else NaN. metric: where the value comes from, or None for
    an AUROC that is bootstrapped from predictions.
    """

    key: str
    title: str
    digits: int
    fraction: float = float("nan")
    metric: MetricName | None = None


MEASURED = (
    Column("retrieval_recall_at_1", "R@1", 3, metric=MetricName("retrieval", "recall_at_1", "frontal")),
    Column("effective_rank", "Effective rank", 1, metric=MetricName("rank", "effective_rank")),
    Column("images_per_second", "Images/s", 0, metric=MetricName("cost", "images_per_second")),
    Column("seconds", "Seconds", 1, metric=MetricName("cost", "seconds")),
)
KNN = Column("knn_macro_auroc", "k-NN", 3)


@dataclass(frozen=True)
class Entry:
    """What one table cell says. found of declared seeds are there; declared = 0: the column does not apply.

    mark: "best", "tie" or "". labels: over how many labels a macro is (0 where it makes no sense).
    """

    estimate: Estimate
    found: int
    declared: int
    mark: str = ""
    labels: int = 0

    @property
    def is_hole(self) -> bool:
        """Whether a declared seed is missing."""
        return self.found < self.declared

    @property
    def is_empty(self) -> bool:
        """Whether there is no number to show."""
        return not math.isfinite(self.estimate.mean)


@dataclass(frozen=True)
class Row:
    """One row: a cell or a baseline. entries: by column key. labels: per-label AUROC at the main fraction.

    resamples: what was bootstrapped, by column key (its row 0 holds each seed's value). label_resamples: by label.
    """

    cell: DeclaredCell
    entries: Mapping[str, Entry]
    labels: Mapping[str, Entry]
    resamples: Mapping[str, SeedResamples]
    label_resamples: Mapping[str, SeedResamples] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """An ablation's table. columns: in order; main: the column of the main metric.

    references: rows of the baselines' ablation that figures may show beside its own.
    """

    collected: Collected
    config: BootstrapConfig
    columns: tuple[Column, ...]
    main: Column
    rows: tuple[Row, ...]
    references: tuple[Row, ...] = ()

    @property
    def fractions(self) -> tuple[Column, ...]:
        """The macro AUROC columns, a label fraction each, ascending."""
        return tuple(c for c in self.columns if math.isfinite(c.fraction))


class Bootstrap:
    """Resamples trials' predictions, those of the same test studies with the same patients."""

    def __init__(self, config: BootstrapConfig) -> None:
        self.config = config
        self._resamplers: list[Resampler] = []

    def labels(self, collected: Collected, trial: str, key: ScoreKey) -> LabelResamples | None:
        """Per-label AUROC of a trial in every resample, or None when it has no such predictions."""
        loaded = collected.results.get(trial)
        if loaded is None or loaded.studies is None or key not in loaded.scores:
            return None
        return self._resampler(loaded.studies).labels(loaded.scores[key])

    def _resampler(self, studies: TestStudies) -> Resampler:
        for resampler in self._resamplers:
            if resampler.studies.same_as(studies):
                return resampler
        self._resamplers.append(Resampler(studies, self.config))
        return self._resamplers[-1]


def label_fractions(collected: Collected) -> tuple[float, ...]:
    """Label fractions of any probe, head or fine-tuning, ascending; the usual ones without results."""
    keys = {key for loaded in collected.results.values() for key in loaded.scores}
    found = {fraction for evaluation, fraction in keys if evaluation in ("probe", "head", "finetune")}
    return tuple(sorted(found)) or USUAL_FRACTIONS


def percent(fraction: float) -> str:
    """A label fraction as people write it, such as 1 %."""
    return f"{fraction * 100:.6g} %"


def fraction_column(fraction: float) -> Column:
    """The macro AUROC column of a label fraction."""
    return Column(f"macro_auroc_{fraction:g}", percent(fraction), 3, fraction=fraction)


def summarise(collected: Collected, bootstrap: Bootstrap) -> Summary:
    """The rows of an ablation's table, best and ties marked in every bootstrapped column."""
    fractions = tuple(fraction_column(f) for f in label_fractions(collected))
    columns = (*fractions, KNN, *MEASURED)
    rows = [summarise_row(cell, collected, bootstrap, columns, fractions[-1]) for cell in collected.plan.cells]
    for column in (*fractions, KNN):
        rows = _marked(_moderated(rows, column.key, bootstrap.config), column.key, bootstrap.config)
    return Summary(collected, bootstrap.config, columns, fractions[-1], tuple(rows))


def summarise_row(
    cell: DeclaredCell, collected: Collected, bootstrap: Bootstrap, columns: Sequence[Column], main: Column
) -> Row:
    """One row. A trial that was trained at several label fractions tells its other columns at the greatest."""
    entries: dict[str, Entry] = {}
    resamples: dict[str, SeedResamples] = {}
    by_label: dict[str, SeedResamples] = {}
    for column in columns:
        if column.metric is not None:
            entries[column.key] = measured(cell, collected, column.metric, main.fraction)
            continue
        key = ("knn", 1.0) if column is KNN else (cell.evaluation, column.fraction)
        fraction = main.fraction if column is KNN else column.fraction
        by_seed = resampled_seeds(cell, collected, bootstrap, key, fraction)
        entries[column.key] = macro_entry(cell, by_seed, bootstrap.config, fraction)
        if by_seed:
            resamples[column.key] = stacked({seed: found.macro for seed, found in by_seed.items()})
        if column is main and by_seed:
            by_label = label_resamples(collected, by_seed)
    labels = label_entries(cell, collected, by_label, bootstrap.config, main.fraction)
    return Row(cell, entries, labels, resamples, by_label)


def resampled_seeds(
    cell: DeclaredCell, collected: Collected, bootstrap: Bootstrap, key: ScoreKey, fraction: float
) -> dict[int, LabelResamples]:
    """Seed -> its resamples, for the seeds of which every trial at this fraction has predictions."""
    found: dict[int, LabelResamples] = {}
    for seed in cell.seeds:
        of_seed = [t for t in cell.trials_at(fraction) if t.seed == seed]
        parts = [bootstrap.labels(collected, trial.id, key) for trial in of_seed]
        known = [part for part in parts if part is not None]
        if known and len(known) == len(parts):
            found[seed] = averaged(known)
    return found


def averaged(parts: Sequence[LabelResamples]) -> LabelResamples:
    """The mean of several trials of one seed; one trial is returned as it is."""
    if len(parts) == 1:
        return parts[0]
    values = np.mean([part.values for part in parts], axis=0)
    return LabelResamples(values, np.mean([part.weight for part in parts], axis=0))


def stacked(by_seed: Mapping[int, np.ndarray]) -> SeedResamples:
    """A column per seed, each in one piece: means over a few seeds are then sums of whole columns."""
    return SeedResamples(tuple(by_seed), np.stack(list(by_seed.values())).T)


def declared_seeds(cell: DeclaredCell, fraction: float) -> int:
    """How many seeds the plan declares for a cell at a label fraction."""
    return len({trial.seed for trial in cell.trials_at(fraction)})


def macro_entry(
    cell: DeclaredCell, by_seed: Mapping[int, LabelResamples], config: BootstrapConfig, fraction: float
) -> Entry:
    """The macro AUROC of a row with its interval."""
    declared = declared_seeds(cell, fraction)
    if not by_seed:
        return Entry(Estimate(float("nan")), 0, declared)
    macro = stacked({seed: found.macro for seed, found in by_seed.items()})
    labels = min(int((found.weight > 0).sum()) for found in by_seed.values())
    return Entry(estimate(macro, config), len(by_seed), declared, labels=labels)


def label_resamples(collected: Collected, by_seed: Mapping[int, LabelResamples]) -> dict[str, SeedResamples]:
    """The AUROC of every label in every resample, a column per seed."""
    names = collected.studies.labels if collected.studies else ()
    return moderated(
        {
            name: stacked({seed: found.values[:, place] for seed, found in by_seed.items()})
            for place, name in enumerate(names)
        }
    )


def label_entries(
    cell: DeclaredCell,
    collected: Collected,
    by_label: Mapping[str, SeedResamples],
    config: BootstrapConfig,
    fraction: float,
) -> dict[str, Entry]:
    """The AUROC of every label with its interval."""
    declared = declared_seeds(cell, fraction)
    entries = {}
    for name in collected.studies.labels if collected.studies else ():
        found = by_label.get(name)
        value = estimate(found, config) if found else Estimate(float("nan"))
        entries[name] = Entry(value, len(found.seeds) if found else 0, declared)
    return entries


def measured(cell: DeclaredCell, collected: Collected, metric: MetricName, fraction: float) -> Entry:
    """The mean over seeds of a metric that is taken as the trial measured it, without an interval."""
    trials = cell.trials_at(fraction) or cell.trials
    values = collected.values(trials, metric)
    measured_seeds = {trial.seed for trial in trials if trial.id in collected.results}
    declared = len({trial.seed for trial in trials})
    if not values:
        # Results without the metric: it does not apply. No results: a hole.
        return Entry(Estimate(float("nan")), 0, 0 if measured_seeds else declared)
    return Entry(Estimate(float(np.mean(list(values.values())))), len(values), declared)


def with_references(summary: Summary, baselines: Summary) -> Summary:
    """The same with the rows of `baselines` that it does not hold itself, if they are of the same test studies."""
    mine, theirs = summary.collected, baselines.collected
    if not mine.studies or not theirs.studies or not mine.studies.same_as(theirs.studies):
        return summary
    # By their keys: a fraction that is NaN equals itself only until it has been to another process.
    unlike = [column.key for column in summary.columns] != [column.key for column in baselines.columns]
    if mine.provenance != theirs.provenance or unlike:
        return summary
    known = {trial.id for row in summary.rows for trial in row.cell.trials}
    new = tuple(row for row in baselines.rows if not known & {trial.id for trial in row.cell.trials})
    return replace(summary, references=new)


def _moderated(rows: Sequence[Row], key: str, config: BootstrapConfig) -> list[Row]:
    # The rows of a column tell each other how much seeds vary; their intervals are made with it.
    known = moderated({place: row.resamples[key] for place, row in enumerate(rows) if key in row.resamples})
    return [
        replace(
            row,
            resamples={**row.resamples, key: known[place]},
            entries={**row.entries, key: replace(row.entries[key], estimate=estimate(known[place], config))},
        )
        if place in known
        else row
        for place, row in enumerate(rows)
    ]


def _marked(rows: Sequence[Row], key: str, config: BootstrapConfig) -> list[Row]:
    # A row with a hole is no candidate: the missing seed could change the order.
    whole = {
        place: row.resamples[key]
        for place, row in enumerate(rows)
        if key in row.resamples and not row.entries[key].is_hole
    }
    marks = mark_best(whole, config)
    return [
        replace(row, entries={**row.entries, key: replace(row.entries[key], mark=marks.get(place, ""))})
        for place, row in enumerate(rows)
    ]
