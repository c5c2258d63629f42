"""Following trials until nothing runs any more: a live table on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.progress import Progress
from sweeps.declared import DeclaredPlan
from sweeps.launchers.base import Submission
from sweeps.ledger import STATES, Line, counts, read_ledger
from sweeps.show import own

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

POLL_SECONDS, READ_SECONDS = 0.5, 2.0
# rows of the live table, so that it fits a terminal
ACTIVE_ROWS, FAILED_ROWS = 12, 5
COLOURS = {"done": "green", "running": "cyan", "preempted": "yellow", "interrupted": "yellow", "failed": "red"}


def follow(submission: Submission, root: Path, plans: Sequence[DeclaredPlan]) -> int:
    """Show how the plans' trials do until nothing of the submission runs any more; returns how many are not done."""
    keys = {trial: key for plan in plans for trial, key in plan.keys().items()}
    lines = {line.trial: line for line in read_ledger(root, keys)}
    with Progress("sweep", len(keys), "trials", done=len(keys) - len(_left(lines))) as progress:
        active, read = True, float("-inf")
        while active:
            active = submission.active()
            if not active or time.monotonic() - read >= READ_SECONDS:
                read, left = time.monotonic(), _left(lines)
                seen = submission.overview()
                fresh = read_ledger(root, {trial: keys[trial] for trial in left}, seen.places)
                lines |= {line.trial: line for line in fresh}
                progress.advance(len(left) - len(_left(lines)), note=_note(fresh))
                progress.under(drawing(plans, lines, seen.text))
            time.sleep(POLL_SECONDS if active else 0)
    return len(_left(lines))


def _left(lines: Mapping[str, Line]) -> list[str]:
    return [trial for trial, line in lines.items() if line.state != "done"]


def _note(lines: list[Line]) -> str:
    told = ("running", "preempted", "failed")
    return ", ".join(f"{n} {state}" for state, n in counts(lines).items() if state in told) or "none running"


def drawing(plans: Sequence[DeclaredPlan], lines: Mapping[str, Line], text: str) -> Group:
    """The live table: each ablation's trials by state, those that are at work, the latest failures, and `text`."""
    from rich.console import Group
    from rich.text import Text

    rows = {trial.id: f"{cell.name} {own(trial)}" for plan in plans for cell in plan.cells for trial in cell.trials}
    active = [line for state in ("running", "preempted", "interrupted") for line in _in(lines.values(), state)]
    failed = sorted(_in(lines.values(), "failed"), key=lambda line: -line.updated)
    parts: list[Any] = [_by_state(plans, lines)]
    parts += [_trials("at work", active, rows, ACTIVE_ROWS)] if active else []
    parts += [_trials("failed, the latest first", failed, rows, FAILED_ROWS)] if failed else []
    return Group(*parts, *([Text(text)] if text else []))


def _in(lines: Iterable[Line], state: str) -> list[Line]:
    return [line for line in lines if line.state == state]


def _by_state(plans: Sequence[DeclaredPlan], lines: Mapping[str, Line]) -> Table:
    ids = {plan.ablation: [trial.id for cell in plan.cells for trial in cell.trials] for plan in plans}
    found = {name: counts([lines[trial] for trial in dict.fromkeys(trials)]) for name, trials in ids.items()}
    states = [state for state in STATES if any(state in here for here in found.values())]
    table = _table("ablation")
    for state in ("trials", *states):
        table.add_column(state, justify="right", style=COLOURS.get(state, ""))
    for ablation, here in found.items():
        table.add_row(ablation, str(sum(here.values())), *(str(here.get(state, 0)) for state in states))
    return table


def _trials(title: str, lines: Sequence[Line], rows: Mapping[str, str], most: int) -> Table:
    from rich.text import Text

    table = _table(title)
    table.add_column("row", no_wrap=True)
    table.add_column("state")
    table.add_column("", overflow="fold", ratio=1)
    for line in lines[:most]:
        # what a trial says of itself is text, whatever brackets it has
        state = Text(line.state, style=COLOURS.get(line.state, ""))
        table.add_row(line.trial, Text(rows[line.trial]), state, Text(line.detail))
    if len(lines) > most:
        table.add_row(f"and {len(lines) - most} more")
    return table


def _table(first: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, no_wrap=True)
    return table
