"""From an ablation's file to its trials, every one resolved and checked before anything runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from core.compose import CONF, compose, override_text, to_trial
from core.config import TrialConfig
from core.errors import ConfigError, require
from core.identity import evaluation_key, trial_ids
from core.io import write_json
from core.measures.base import MEASURES
from sweeps.ablation import ABLATIONS, DRAWS, Ablation, check_seeds, names_of, read
from sweeps.claim import ClaimError, check_claim
from sweeps.folders import sweep_folder

SCHEMA = 1
PLAN = "plan.json"
# keys of a sweep that are none of a trial's
SWEEP_KEYS = ("ablation", "launcher", "seeds")
# keys that change no result: the same plan on another machine is the same file
MACHINE_KEYS = ("paths", "runtime")


@dataclass(frozen=True)
class PlannedTrial:
    """One trial: its id, its config, and the values that tell it from its row's others (besides the seed)."""

    id: str
    config: TrialConfig
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """A row of the table: a point of the axes ("cell") or a "baseline", with its trials."""

    name: str
    method: str
    role: str
    evaluation: str
    values: Mapping[str, Any]
    trials: tuple[PlannedTrial, ...]


@dataclass(frozen=True)
class Plan:
    """An ablation, resolved. overrides: the user's, for all its trials. measure, evaluation_key: of all its trials."""

    ablation: Ablation
    preset: str
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]
    measure: str
    evaluation_key: str
    cells: tuple[Cell, ...]

    def trials(self) -> dict[str, TrialConfig]:
        """Config of every trial by id, in the plan's order."""
        return {trial.id: trial.config for cell in self.cells for trial in cell.trials}

    def plain(self) -> dict[str, Any]:
        """The content of plan.json."""
        return {
            "schema": SCHEMA,
            "ablation": self.ablation.name,
            "title": self.ablation.title,
            "question": self.ablation.question,
            "preset": self.preset,
            "measure": self.measure,
            "axes": {key: list(values) for key, values in self.ablation.axes.items()},
            "draw": list(self.ablation.draw),
            "claims": list(self.ablation.claims),
            "seeds": list(self.seeds),
            "evaluation_key": self.evaluation_key,
            "overrides": [o for o in self.overrides if self._changes_results(key_of(o))],
            "cells": [_plain_cell(cell) for cell in self.cells],
        }

    def _changes_results(self, key: str) -> bool:
        return key.split(".")[0] not in MACHINE_KEYS or key in MEASURES.get(self.measure).build.identity


def _plain_cell(cell: Cell) -> dict[str, Any]:
    trials = [{"id": t.id, "seed": t.config.seed, "values": dict(t.values)} for t in cell.trials]
    return {
        "name": cell.name,
        "method": cell.method,
        "role": cell.role,
        "evaluation": cell.evaluation,
        "values": dict(cell.values),
        "trials": trials,
    }


@dataclass(frozen=True)
class _Row:
    """A row before it is resolved. combinations: (overrides, values that tell the row's trials apart)."""

    name: str
    role: str
    evaluation: str
    base: tuple[str, ...]
    values: Mapping[str, Any]
    over: Mapping[str, tuple[Any, ...]]


def make_plan(name: str, overrides: Sequence[str], preset: str, folder: Path = ABLATIONS) -> Plan:
    """Resolve ablation `name` with the user's overrides, all of its cells.

    The user's overrides win over the file's base; a cell's own settings win over the user's.
    Raises ConfigError naming the ablation, the cell and the field for whatever cannot run.
    """
    ablation = read(name, preset, folder)
    mine = trial_overrides(overrides)
    base = (*ablation.base, *mine)
    seeds = _seeds(overrides) or ablation.seeds
    cells = tuple(_resolve(ablation, row, base, seeds) for row in _rows(ablation))
    _check_distinct(ablation, cells)
    _check_claims(ablation, cells)
    measure = _measure(ablation, cells)
    return Plan(ablation, preset, mine, seeds, measure, _evaluation_key(ablation, cells), cells)


def trial_overrides(overrides: Iterable[str]) -> tuple[str, ...]:
    """The overrides that are a trial's. Raises ConfigError for a seed: a sweep has several."""
    kept = tuple(o for o in overrides if key_of(o).split(".")[0] not in SWEEP_KEYS)
    seed = next((o for o in kept if key_of(o) == "seed"), "")
    require(not seed, f"{seed}: a sweep has several seeds", "write seeds=[0,1]")
    return kept


def key_of(override: str) -> str:
    """The key of an override: "a.b" of "a.b=1"."""
    return override.lstrip("+~").partition("=")[0]


def _seeds(overrides: Iterable[str]) -> tuple[int, ...]:
    chosen = [o for o in overrides if key_of(o) == "seeds"]
    if not chosen:
        return ()
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return check_seeds("seeds", OverridesParser.create().parse_override(chosen[-1]).value())


def preset_of(overrides: Iterable[str]) -> str:
    """The preset that the overrides choose, or the primary config's own."""
    chosen = [o.partition("=")[2] for o in overrides if key_of(o) == "preset"]
    if chosen:
        return chosen[-1]
    primary: Any = OmegaConf.load(CONF / "sweep.yaml")
    return next(str(d["preset"]) for d in primary.defaults if "preset" in d)


def plans_for(chosen: Any, overrides: Sequence[str], folder: Path = ABLATIONS) -> list[Plan]:
    """The plans of the ablations that `ablation=...` names. Raises ConfigError as `make_plan`."""
    return [make_plan(name, overrides, preset_of(overrides), folder) for name in names_of(chosen, folder)]


def _rows(ablation: Ablation) -> Iterator[_Row]:
    for values in _combinations(ablation.axes) if ablation.axes else ():
        yield _Row("", "cell", "probe", _overrides(values, ablation.named), values, {})
    for baseline in ablation.baselines:
        yield _Row(baseline.name, "baseline", baseline.evaluation, baseline.base, {}, baseline.over)


def _combinations(axes: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    for point in itertools.product(*axes.values()):
        yield dict(zip(axes, point, strict=True))


def _overrides(values: Mapping[str, Any], named: Mapping[str, Mapping[Any, tuple[str, ...]]]) -> tuple[str, ...]:
    """What a point of the axes sets. named: the overrides that a value of such an axis stands for."""
    each = [named[k][v] if k in named else (override_text(k, v),) for k, v in values.items()]
    return tuple(override for overrides in each for override in overrides)


def _resolve(ablation: Ablation, row: _Row, base: tuple[str, ...], seeds: tuple[int, ...]) -> Cell:
    trials = []
    for values in _combinations(row.over):
        config = _trial(ablation, row, [*base, *row.base, *_overrides(values, {})])
        ids = trial_ids(config, seeds)
        trials += [PlannedTrial(i, replace(config, seed=s), values) for i, s in zip(ids, seeds, strict=True)]
    method = str(trials[0].config.method.name)
    name = row.name or " ".join([method, *(f"{k.rpartition('.')[2]}={v}" for k, v in row.values.items())])
    return Cell(name, method, row.role, row.evaluation, row.values, tuple(trials))


def _trial(ablation: Ablation, row: _Row, overrides: list[str]) -> TrialConfig:
    try:
        return to_trial(compose(overrides))
    except ConfigError as error:
        cell = row.name or " ".join(override_text(key, value) for key, value in row.values.items())
        raise ConfigError(f"ablation {ablation.name}, {row.role} {cell}: {error.what}", error.hint) from error


def _check_distinct(ablation: Ablation, cells: Iterable[Cell]) -> None:
    seen: dict[str, str] = {}
    for cell in cells:
        for trial in cell.trials:
            twice = f"ablation {ablation.name}: {seen.get(trial.id)} and {cell.name} hold the same trial"
            require(trial.id not in seen, twice, "an axis has no effect there; change or drop one of the two")
            seen[trial.id] = cell.name


def _check_claims(ablation: Ablation, cells: Sequence[Cell]) -> None:
    for claim in ablation.claims:
        try:
            check_claim(claim, cells)
        except ClaimError as error:
            raise ClaimError(f"ablation {ablation.name}, claims: {error.what}", error.hint) from error


def _measure(ablation: Ablation, cells: Sequence[Cell]) -> str:
    """The one measure of all cells: their rows stand in one table, and their figures show it."""
    measures = sorted({trial.config.measure.name for cell in cells for trial in cell.trials})
    what = f"ablation {ablation.name}: its cells have measures {' and '.join(measures)}"
    require(len(measures) == 1, what, "set measure for all of them, in base")
    for draw in ablation.draw:
        if draw not in DRAWS.get(measures[0], ()):
            what = f"ablation {ablation.name}: draw={draw} does not show measure={measures[0]}"
            raise ConfigError(what, f"possible: {', '.join(DRAWS.get(measures[0], ()))}")
    return measures[0]


def _evaluation_key(ablation: Ablation, cells: Sequence[Cell]) -> str:
    """The one evaluation key of all cells: their rows stand in one table."""
    first = cells[0].trials[0].config
    same = all(trial.config.evaluation == first.evaluation for cell in cells for trial in cell.trials)
    what = f"ablation {ablation.name}: its cells differ in their evaluation settings"
    require(same, what, "set evaluation.* for all of them, in base or on the command line")
    return evaluation_key(first)


def write_plan(root: Path, plan: Plan) -> Path:
    """Write plan.json for the report; returns its path."""
    path = sweep_folder(root, plan.ablation.name) / PLAN
    write_json(path, plan.plain())
    return path
