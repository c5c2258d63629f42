"""From the disk to one long table: every metric of every trial of an ablation, and a hole for what is not there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.resample import TestStudies
from analysis.scores import ScoreReader, TrialScores, UnlikeStudiesError
from core.errors import DataError, UserError
from core.evaluation.base import Metric
from core.results import PREDICTIONS, RESULT, Result, read_result
from sweeps.declared import DeclaredCell, DeclaredPlan, DeclaredTrial
from sweeps.folders import trial_folder
from sweeps.status import read_status

OTHER_STUDIES = "its predictions are of other studies, patients or true labels than the table's other rows"
OF_TRIAL = ("cell", "role", "method", "values", "seed", "trial")
OF_METRIC = tuple(Metric.__dataclass_fields__)
COST = ("seconds", "images_per_second", "peak_memory_bytes", "device_hours", "cost", "mfu", "parameters")


@dataclass(frozen=True)
class Hole:
    """A declared result that is not there, and why. trial: "" where none was even declared for an axis' value."""

    cell: str
    trial: str
    seed: int
    reason: str


@dataclass(frozen=True)
class MetricName:
    """A metric without a label. view: of the query, for retrieval."""

    evaluation: str
    metric: str
    view: str = "study"


@dataclass(frozen=True)
class Provenance:
    """What every result of a table shares, and which code made them (more than one version is told)."""

    data: str
    fingerprint: str
    n_studies: Mapping[str, int]
    label_policy: str
    codes: tuple[str, ...]


@dataclass(frozen=True)
class Loaded:
    """A trial's result. studies, scores: from its predictions; scores [D, S, L] by (evaluation, label fraction)."""

    result: Result
    studies: TestStudies | None
    scores: TrialScores


@dataclass(frozen=True)
class Collected:
    """All that the disk holds on an ablation.

    table: columns cell, role, method, values, seed, trial, evaluation, metric, label, label_fraction, draw,
    view, value, n, n_positive; a trial's cost stands in it as evaluation "cost". studies: the test studies, or
    None without predictions. results: trial id -> what was read. provenance: None when there is no result at all.
    """

    plan: DeclaredPlan
    table: pd.DataFrame
    studies: TestStudies | None
    results: Mapping[str, Loaded]
    holes: tuple[Hole, ...]
    provenance: Provenance | None

    def values(self, trials: Sequence[DeclaredTrial], column: MetricName) -> dict[int, float]:
        """Seed -> value of a metric without a label, averaged over draws and over the seed's trials."""
        if self.table.empty:
            return {}
        measured = self._metrics.get(column, {})
        by_seed: dict[int, list[float]] = {}
        for trial, seed in {trial.id: trial.seed for trial in trials}.items():
            by_seed.setdefault(seed, []).extend(measured.get(trial, ()))
        return {seed: sum(values) / len(values) for seed, values in sorted(by_seed.items()) if values}

    def label_means(self, cell: DeclaredCell, fraction: float) -> dict[tuple[str, str], float]:
        """(metric, label) -> mean over seeds and draws at a label fraction, of the cell's main evaluation."""
        return self._labels.get((cell.name, cell.evaluation, round(fraction, 9)), {})

    @cached_property
    def _labels(self) -> dict[tuple[str, str, float], dict[tuple[str, str], float]]:
        # By row, evaluation and label fraction.
        found: dict[tuple[str, str, float], dict[tuple[str, str], float]] = {}
        if self.table.empty:
            return found
        rows = self.table[(self.table["label"] != "") & (self.table["view"] == "study")]
        keys = ["cell", "evaluation", rows["label_fraction"].round(9), "metric", "label"]
        means: Any = rows.groupby(keys)["value"].mean()
        for (name, evaluation, fraction, metric, label), value in means.items():
            found.setdefault((name, evaluation, fraction), {})[metric, label] = float(value)
        return found

    @cached_property
    def _metrics(self) -> dict[MetricName, dict[str, list[float]]]:
        # The values of each trial, one a draw.
        plain = self.table[(self.table["label"] == "") & self.table["value"].notna()]
        keys = ["evaluation", "metric", "view", "trial"]
        found: dict[MetricName, dict[str, list[float]]] = {}
        for *name, trial, value in plain.drop_duplicates([*keys, "draw"])[[*keys, "value"]].itertuples(index=False):
            found.setdefault(MetricName(*name), {}).setdefault(trial, []).append(value)
        return found


class ResultReader:
    """Reads results below a root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._scores = ScoreReader()

    def read(self, trial: str, evaluation_key: str) -> Loaded | str:
        """The result, or the reason why there is none."""
        own = trial_folder(self.root, trial)
        folder = own / "evaluations" / evaluation_key
        if not (folder / RESULT).exists():
            return why_absent(own)
        try:
            return self._load(folder)
        except UnlikeStudiesError as error:
            return str(error)
        except DataError as error:
            # The folders of two machines differ; the reason must not.
            return error.what.replace(str(self.root), "outputs")

    def _load(self, folder: Path) -> Loaded:
        result = read_result(folder)
        if PREDICTIONS not in result.files:
            return Loaded(result, None, {})
        return Loaded(result, *self._scores.read_file(result.file(PREDICTIONS)))


def why_absent(trial: Path) -> str:
    """The reason for a missing result, from the trial's status.json."""
    status = read_status(trial)
    if status is None:
        return "not started"
    if status.state == "failed":
        return f"failed: {status.error or 'no reason given'}"
    if status.state == "skipped":
        return f"skipped: {status.error}"
    if status.state == "running":
        return f"not finished ({status.stage}, step {status.step} of {status.total_steps})"
    return "done, but not evaluated with these settings"


def collect(reader: ResultReader, plan: DeclaredPlan) -> Collected:
    """Read every result of an ablation.

    A missing, failed or cut-short result becomes a hole, as does one on other studies. Raises UserError when
    results of two data sets or of two label policies would meet in one table.
    """
    found: dict[str, Loaded] = {}
    holes = list(_undeclared(plan))
    for cell, trial in _trials(plan):
        loaded = reader.read(trial.id, plan.evaluation_key)
        if isinstance(loaded, str):
            holes.append(Hole(cell.name, trial.id, trial.seed, loaded))
        else:
            found[trial.id] = loaded
    provenance = _provenance(plan.ablation, {trial: loaded.result for trial, loaded in found.items()})
    studies = next((loaded.studies for loaded in found.values() if loaded.studies), None)
    for cell, trial in _trials(plan):
        own = found[trial.id].studies if trial.id in found else None
        if own and studies and not own.same_as(studies):
            del found[trial.id]
            holes.append(Hole(cell.name, trial.id, trial.seed, OTHER_STUDIES))
    return Collected(plan, _table(plan, found), studies, found, tuple(holes), provenance)


def _undeclared(plan: DeclaredPlan) -> Iterator[Hole]:
    """Values of the axes that no row has: a plan that was cut by hand, or by a later sweep of fewer cells."""
    for axis, values in plan.axes.items():
        known = [cell.values.get(axis) for cell in plan.cells if cell.trials]
        yield from (Hole(f"{axis}={value}", "", 0, "no trial has this value") for value in values if value not in known)


def _trials(plan: DeclaredPlan) -> list[tuple[DeclaredCell, DeclaredTrial]]:
    return [(cell, trial) for cell in plan.cells for trial in cell.trials]


def _provenance(ablation: str, results: Mapping[str, Result]) -> Provenance | None:
    if not results:
        return None
    data = {trial: f"{r.data['name']} ({r.data['fingerprint']})" for trial, r in results.items()}
    _refuse_two(ablation, "data sets", data, "sweep it again with one data=..., or with another paths.root")
    policies = {trial: r.label_policy for trial, r in results.items()}
    _refuse_two(ablation, "label policies", policies, "sweep it again with one evaluation.label_policy=...")
    first = next(iter(results.values()))
    codes = tuple(sorted({r.code for r in results.values()}))
    return Provenance(first.data["name"], first.data["fingerprint"], first.data["n_studies"], first.label_policy, codes)


def _refuse_two(ablation: str, what: str, of_trial: Mapping[str, str], hint: str) -> None:
    kinds = sorted(set(of_trial.values()))
    if len(kinds) > 1:
        told = " and ".join(f"{kind}, as in trial {min(t for t in of_trial if of_trial[t] == kind)}" for kind in kinds)
        raise UserError(f"ablation {ablation}: results of {len(kinds)} {what} in one table: {told}", hint)


def _table(plan: DeclaredPlan, found: Mapping[str, Loaded]) -> pd.DataFrame:
    lines: list[tuple[Any, ...]] = []
    of_metric = attrgetter(*OF_METRIC)
    for cell, trial in _trials(plan):
        if trial.id not in found:
            continue
        result = found[trial.id].result
        values = json.dumps({**cell.values, **trial.values}, sort_keys=True)
        of_trial = (cell.name, cell.role, cell.method, values, trial.seed, trial.id)
        metrics = [*result.metrics, *_costs(result.cost)]
        lines += [(*of_trial, *of_metric(metric)) for metric in metrics]
    return pd.DataFrame(lines, columns=[*OF_TRIAL, *OF_METRIC]) if lines else pd.DataFrame()


def _costs(cost: Mapping[str, Any]) -> list[Metric]:
    return [Metric("cost", name, float(cost[name]), -1) for name in COST if cost.get(name) is not None]
