"""What a person sees while trials run: the live table of a terminal, and the plain lines of a log."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from core.progress import Progress
from sweeps.declared import DeclaredPlan, read_plan
from sweeps.folders import trial_folder
from sweeps.launchers.base import Overview
from sweeps.ledger import Line
from sweeps.plan import Plan, write_plan
from sweeps.status import Reporter
from sweeps.watch import ACTIVE_ROWS, drawing, follow
from tests.conftest import CHECKOUT
from tests.sweeps.fakes import RULES, finish

SWEEP = """
import sys
from pathlib import Path
import sweeps.run
from sweeps.launchers.local import LocalConfig
from sweeps.plan import make_plan
from tests.sweeps.fakes import compute
sweeps.run.build_data = lambda configs, root: None
plan = make_plan("small", [], "demo", Path(sys.argv[2]))
outcome = sweeps.run.run_plans([plan], Path(sys.argv[1]), LocalConfig(processes=2), compute)
sys.exit(0 if outcome.complete else 1)
"""


@pytest.fixture
def declared(plan: Plan, tmp_path: Path) -> DeclaredPlan:
    write_plan(tmp_path, plan)
    return read_plan(tmp_path, "small")


def shown(plan: DeclaredPlan, lines: Mapping[str, Line], text: str = "", width: int = 150) -> str:
    stream = io.StringIO()
    Console(file=stream, force_terminal=True, width=width).print(drawing([plan], lines, text))
    return re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())


def test_counts_what_runs_and_the_latest_failures_stand_in_the_table(declared: DeclaredPlan) -> None:
    one, two, three, four = declared.keys()
    lines = {
        one: Line(one, "done"),
        two: Line(two, "running", "train, step 30 of 120, 3m00s left; job 17_1 on n2"),
        three: Line(three, "failed", "RuntimeError: early [0]", 100.0),
        four: Line(four, "failed", "RuntimeError: late [1]", 200.0),
    }
    text = shown(declared, lines, "SLURM: the report: job 18 pending (Dependency)")
    rows = [row.split() for row in text.splitlines()]
    assert ["ablation", "trials", "done", "running", "failed"] in rows
    assert ["small", "4", "1", "1", "2"] in rows
    (running,) = [row for row in text.splitlines() if two in row]
    assert "train, step 30 of 120, 3m00s left; job 17_1 on n2" in running
    assert "seed=1" in running
    assert text.index("late [1]") < text.index("early [0]")
    assert text.rstrip().endswith("SLURM: the report: job 18 pending (Dependency)")


def test_many_running_trials_are_cut_with_their_number(declared: DeclaredPlan) -> None:
    cell = declared.cells[0]
    trials = tuple(type(cell.trials[0])(f"{n:016x}", n, {}) for n in range(ACTIVE_ROWS + 7))
    many = DeclaredPlan(**{**vars(declared), "cells": (type(cell)(**{**vars(cell), "trials": trials}),)})
    text = shown(many, {trial.id: Line(trial.id, "running") for trial in trials})
    assert "and 7 more" in text
    assert text.count(" running") == 1 + ACTIVE_ROWS


class Scripted:
    """A submission that finishes a trial, and lets one fail, each time that it is asked whether it is active."""

    def __init__(self, plan: Plan, root: Path) -> None:
        self._plan, self._root, self._asked = list(plan.trials().items()), root, 0

    def describe(self) -> str:
        return ""

    def cancel(self) -> None: ...

    def overview(self) -> Overview:
        return Overview()

    def active(self) -> bool:
        trial, config = self._plan[self._asked]
        if self._asked == 1:
            Reporter(trial_folder(self._root, trial)).end("failed", "the sky fell")
        else:
            finish(config, self._root)
        self._asked += 1
        return self._asked < len(self._plan)


def test_following_ends_with_the_submission_and_counts_what_is_not_done(
    plan: Plan, declared: DeclaredPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.watch.POLL_SECONDS", 0.0)
    assert follow(Scripted(plan, tmp_path), tmp_path, [declared]) == 1


def test_in_a_log_there_are_plain_lines_only(
    plan: Plan,
    declared: DeclaredPlan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sweeps.watch.POLL_SECONDS", 0.0)
    monkeypatch.setattr("sweeps.watch.READ_SECONDS", 0.0)
    monkeypatch.setattr("sweeps.watch.Progress", functools.partial(Progress, interval=0.0))
    follow(Scripted(plan, tmp_path), tmp_path, [declared])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("sweep: 1/4 trials (25 %)")
    assert lines[-1].startswith("sweep: 3/4 trials (75 %)")
    assert lines[-1].endswith("1 failed")
    assert "\x1b" not in "".join(lines)


@pytest.mark.slow
def test_on_a_terminal_a_local_sweep_shows_the_live_table(plan: Plan, ablations: Path, tmp_path: Path) -> None:
    one, two, *_ = plan.trials()
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), RULES: json.dumps({one: "fail", two: "slow3"})}
    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 300, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", SWEEP, str(tmp_path / "out"), str(ablations)],
        stderr=theirs,
        env=env | {"TERM": "xterm", "COLUMNS": "300"},
    )
    os.close(theirs)
    text = read_to_end(mine)
    assert process.wait(60) == 1
    assert re.search(rf"{two} +mvmae mask_ratio=0.5 seed=1|{two} .*running +train, step", text)
    last = text[text.rindex("ablation ") :]
    assert ["small", "4", "3", "1"] in [row.split() for row in last.splitlines()]
    assert re.search(rf"{one} .*failed +RuntimeError: the sky fell", last)


def read_to_end(terminal: int) -> str:
    """What a terminal shows until the last who writes to it has gone; colours and movements left out."""
    printed = b""
    # Linux says so by an error
    with contextlib.suppress(OSError):
        while chunk := os.read(terminal, 65536):
            printed += chunk
    os.close(terminal)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed.decode()).replace("\r", "")
