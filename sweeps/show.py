"""Plans and ledgers as text for a terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from core.progress import duration
from sweeps.declared import DeclaredPlan, DeclaredTrial
from sweeps.estimate import Estimate
from sweeps.ledger import Line, Place, read_ledger, summary
from sweeps.plan import Plan


def columns(rows: Iterable[Sequence[str]]) -> str:
    """Rows as left-aligned columns, two blanks between."""
    table = [list(row) for row in rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))] if table else []
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join(lines)


def show_plans(plans: Sequence[Plan], lines: Sequence[Line], cost: Estimate) -> str:
    """What `--dry-run` prints: each plan's rows, what is shared and done, and the cost of the rest."""
    state = {line.trial: line.state for line in lines}
    parts, seen = [], dict[str, str]()
    for plan in plans:
        parts.append(f"{plan.ablation.name}: {plan.ablation.title} (preset {plan.preset}, seeds {list(plan.seeds)})")
        parts.append(columns([("  row", "trials", "done", "shared"), *_plan_rows(plan, state, seen)]) + "\n")
    asked = sum(len(cell.trials) for plan in plans for cell in plan.cells)
    shared = f", {asked - len(lines)} shared" if asked > len(lines) else ""
    parts.append(f"{asked} trials asked for{shared}; {summary(list(lines))}")
    parts.append(show_estimate(cost, len(lines) - sum(line.state == "done" for line in lines)))
    return "\n".join(parts)


def _plan_rows(plan: Plan, state: dict[str, str], seen: dict[str, str]) -> list[tuple[str, str, str, str]]:
    rows = []
    for cell in plan.cells:
        others = sorted({seen[t.id] for t in cell.trials if t.id in seen})
        done = sum(state[t.id] == "done" for t in cell.trials)
        rows.append((f"  {cell.name}", str(len(cell.trials)), str(done), "with " + ", ".join(others) if others else ""))
    seen.update({t.id: plan.ablation.name for cell in plan.cells for t in cell.trials if t.id not in seen})
    return rows


def show_estimate(cost: Estimate, missing: int) -> str:
    """One line on the cost of the `missing` trials."""
    if not missing:
        return "nothing is missing"
    images = "unknown until the data is built" if math.isnan(cost.images) else f"{cost.images:,.0f}"
    if math.isnan(cost.seconds):
        return f"{missing} to run; images x epochs: {images}; no time estimate (needs built data and a finished trial)"
    time = duration(cost.seconds)
    return (
        f"{missing} to run; images x epochs: {images}; about {time} of one process, by {cost.measured} finished trials"
    )


def show_skipped(refused: Mapping[str, str]) -> str:
    """A line for each reason why trials are skipped."""
    counts = Counter(refused.values())
    return "\n".join(f"{n} trials skipped: {reason}" for reason, n in counts.items())


def show_outcome(lines: Sequence[Line], done_before: int) -> str:
    """What a finished run says: how it stands now, and a line for each trial that is not done."""
    missing = [(line.trial, line.state, line.detail) for line in lines if line.state != "done"]
    found = f" ({done_before} were done before)" if done_before else ""
    hint = "\nrun the same command again to retry only these" if missing else ""
    return summary(list(lines)) + found + ("\n" + columns(missing) if missing else "") + hint


def show_status(plan: DeclaredPlan, root: Path, places: Mapping[str, Place]) -> str:
    """The table of `viewpair status` for one ablation: a line a trial. places: where a scheduler has trials."""
    lines = {line.trial: line for line in read_ledger(root, plan.keys(), places)}
    rows = [
        (f"  {cell.name}", own(trial), trial.id, lines[trial.id].state, lines[trial.id].detail)
        for cell in plan.cells
        for trial in cell.trials
    ]
    head = f"{plan.ablation} (preset {plan.preset}): {summary(list(lines.values()))}"
    return f"{head}\n{columns([('  row', 'trial', 'id', 'state', ''), *rows])}\n"


def own(trial: DeclaredTrial) -> str:
    """What tells a trial from the others of its row."""
    values = [f"{key.rpartition('.')[2]}={value}" for key, value in trial.values.items()]
    return " ".join([f"seed={trial.seed}", *values])
