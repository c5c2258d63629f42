"""A report is kept while nothing that it is made from has changed, and drawn again as soon as something has."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis import fresh
from analysis.fresh import ensure_reports
from analysis.report import ReportSummary
from core.io import write_json


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of every report that was drawn; drawing writes one page and one figure."""
    calls: list[list[str]] = []

    def draw(root: Path, names: list[str]) -> ReportSummary:
        calls.append(names)
        for name in ("index.md", "pairing/strip.png"):
            (root / "reports" / name).parent.mkdir(parents=True, exist_ok=True)
            (root / "reports" / name).write_text(str(len(calls)))
        return ReportSummary(root / "reports" / "index.md", f"table {len(calls)}")

    monkeypatch.setattr(fresh, "write_reports", draw)
    write_json(tmp_path / "sweeps" / "pairing" / "plan.json", {"cells": []})
    write_json(tmp_path / "trials" / "a" / "evaluations" / "k" / "result.json", {"metrics": []})
    return calls


def test_an_unchanged_report_is_read_back(tmp_path: Path, drawn: list[list[str]]) -> None:
    first = ensure_reports(tmp_path, ["pairing"])
    assert ensure_reports(tmp_path, ["pairing"]) == first
    assert len(drawn) == 1


@pytest.mark.parametrize("change", ["result", "new trial", "plan", "figure lost", "record cut short", "other names"])
def test_any_change_draws_it_again(change: str, tmp_path: Path, drawn: list[list[str]]) -> None:
    ensure_reports(tmp_path, ["pairing"])
    result = tmp_path / "trials" / "a" / "evaluations" / "k" / "result.json"
    names = ["pairing"]
    if change == "result":
        write_json(result, {"metrics": []})
    elif change == "new trial":
        write_json(tmp_path / "trials" / "b" / "status.json", {"state": "failed"})
    elif change == "plan":
        write_json(tmp_path / "sweeps" / "pairing" / "plan.json", {"cells": [1]})
    elif change == "figure lost":
        (tmp_path / "reports" / "pairing" / "strip.png").unlink()
    elif change == "record cut short":
        (tmp_path / "reports" / "inputs.json").write_text('{"key": ')
    else:
        names = ["pairing", "baselines"]
    assert ensure_reports(tmp_path, names).main_table == "table 2"
    assert len(drawn) == 2
