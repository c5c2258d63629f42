"""What was declared: the rows of an ablation's table and their trials, as a sweep left them in plan.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import DataError, UserError, did_you_mean
from core.io import read_json
from core.measures.base import QUALITY
from sweeps.folders import sweep_folder
from sweeps.plan import PLAN, SCHEMA

NO_RESULTS_HINT = "run a sweep first, such as `viewpair sweep ablation=pairing`, or everything: `viewpair reproduce`"


@dataclass(frozen=True)
class DeclaredTrial:
    """One trial of a row. values: what sets it apart from the row's other trials of the same seed."""

    id: str
    seed: int
    values: Mapping[str, Any]

    @property
    def label_fraction(self) -> float | None:
        """The label fraction that the trial itself was trained at, or None if it was trained without labels."""
        own = [float(v) for k, v in self.values.items() if k.rsplit(".", 1)[-1] == "label_fraction"]
        return own[0] if own else None


@dataclass(frozen=True)
class DeclaredCell:
    """One row of the table. role: "cell" | "baseline". evaluation: "probe" | "head", the main one."""

    name: str
    method: str
    role: str
    evaluation: str
    values: Mapping[str, Any]
    trials: tuple[DeclaredTrial, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The declared seeds, ascending."""
        return tuple(sorted({trial.seed for trial in self.trials}))

    def trials_at(self, fraction: float) -> tuple[DeclaredTrial, ...]:
        """Trials that can tell the row's result at a label fraction."""
        return tuple(t for t in self.trials if t.label_fraction in (None, fraction))


@dataclass(frozen=True)
class DeclaredPlan:
    """One ablation as it was declared.

    measure: what its trials are run for. axes: dotted key -> values. draw: names of figures.
    """

    ablation: str
    title: str
    question: str
    preset: str
    measure: str
    axes: Mapping[str, tuple[Any, ...]]
    draw: tuple[str, ...]
    claims: tuple[str, ...]
    seeds: tuple[int, ...]
    evaluation_key: str
    overrides: tuple[str, ...]
    cells: tuple[DeclaredCell, ...]

    def keys(self) -> dict[str, str]:
        """Evaluation key of every trial by id, for the ledger."""
        return {trial.id: self.evaluation_key for cell in self.cells for trial in cell.trials}


def plan_path(root: Path, name: str) -> Path:
    """Where a sweep leaves the plan of the ablation `name`."""
    return sweep_folder(root, name) / PLAN


def declared_names(root: Path) -> list[str]:
    """Ablations that have a plan under `root`, sorted."""
    return sorted(path.parent.name for path in (root / "sweeps").glob(f"*/{PLAN}"))


def listed(chosen: Any) -> list[str] | None:
    """The names in a config's `ablation`: one, a list, or None for none given and for "all"."""
    if chosen is None or chosen == "all":
        return None
    return [chosen] if isinstance(chosen, str) else [str(name) for name in chosen]


def choose(root: Path, names: list[str] | None) -> list[str]:
    """The swept ablations that `names` names, or all. Raises UserError when there is none, or one is unknown."""
    known = declared_names(root)
    if not known:
        raise UserError(f"nothing was swept: no {root / 'sweeps'}/<ablation>/plan.json", NO_RESULTS_HINT)
    names = [Path(name).stem for name in names or []]
    for name in names:
        if name not in known:
            raise UserError(
                f"ablation={name} has no plan at {plan_path(root, name)}",
                f"run `viewpair sweep ablation={name}` first; {did_you_mean(name, known)}",
            )
    return sorted(set(names)) if names else known


def read_plan(root: Path, name: str) -> DeclaredPlan:
    """Read the plan of one ablation. Raises DataError that names the file and the missing field."""
    path = plan_path(root, name)
    plan = read_json(path)
    try:
        if plan["schema"] != SCHEMA:
            raise DataError(f"{path} has schema {plan['schema']}, not {SCHEMA}", "run the sweep again to replace it")
        return _plan(plan)
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: field {error} is missing or wrong", f"run `viewpair sweep ablation={name}` again to write it"
        ) from error


def _plan(plan: Mapping[str, Any]) -> DeclaredPlan:
    return DeclaredPlan(
        ablation=plan["ablation"],
        title=plan["title"],
        question=plan["question"],
        preset=plan.get("preset") or "",
        measure=plan.get("measure", QUALITY),
        axes={key: tuple(values) for key, values in plan["axes"].items()},
        draw=tuple(plan["draw"]),
        claims=tuple(plan.get("claims", ())),
        seeds=tuple(plan["seeds"]),
        evaluation_key=plan["evaluation_key"],
        overrides=tuple(plan.get("overrides", ())),
        cells=tuple(_cell(cell) for cell in plan["cells"]),
    )


def _cell(cell: Mapping[str, Any]) -> DeclaredCell:
    trials = {t["id"]: DeclaredTrial(t["id"], int(t["seed"]), t["values"]) for t in cell["trials"]}
    return DeclaredCell(
        name=cell["name"],
        method=cell["method"],
        role=cell["role"],
        evaluation=cell["evaluation"],
        values=cell["values"],
        trials=tuple(trials.values()),
    )
