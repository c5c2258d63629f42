"""What `sweep --wait` says when a person stops watching."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from sweeps.launchers.base import Order
from sweeps.plan import Plan, write_plan
from sweeps.run import Started
from sweeps.trial import compute
from tests.sweeps.conftest import ablations, plan
from viewpair.commands.sweep import conclude

__all__ = ["ablations", "plan"]


class Watched:
    """A submission during whose watching Ctrl-C is typed."""

    def __init__(self) -> None:
        self.cancelled = False

    def active(self) -> bool:
        raise KeyboardInterrupt

    def cancel(self) -> None:
        self.cancelled = True


def started(plan: Plan, root: Path, detached: bool) -> Started:
    write_plan(root, plan)
    order = Order(plan.trials(), ("small",), root, root / "runs" / "one", compute)
    keys = dict.fromkeys(plan.trials(), plan.evaluation_key)
    return Started(SimpleNamespace(detached=detached), order, Watched(), keys, 0, {})  # type: ignore[arg-type]


def test_ctrl_c_ends_the_watching_and_not_the_jobs(
    plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = started(plan, tmp_path, detached=True)
    assert conclude(sweep, wait=True) == 130
    said = capsys.readouterr().out
    assert "the jobs go on" in said
    # What is told to be typed next finds these results, wherever they lie.
    assert f"viewpair status ablation=small paths.root='{tmp_path}'\n" in said
    assert sweep.submission is not None
    assert not sweep.submission.cancelled  # type: ignore[attr-defined]


def test_ctrl_c_stops_trials_of_this_machine(plan: Plan, tmp_path: Path) -> None:
    sweep = started(plan, tmp_path, detached=False)
    with pytest.raises(KeyboardInterrupt):
        conclude(sweep, wait=True)
    assert sweep.submission is not None
    assert sweep.submission.cancelled  # type: ignore[attr-defined]
