"""The Pareto front, power after Holm, the report's benchmark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.bench_report import Size, bench_report
from analysis.collect import ResultReader, collect
from analysis.comparisons import compare
from analysis.efficiency import efficiency, pareto_front
from analysis.hypotheses import holm, holm_levels
from analysis.plots import base, pareto
from analysis.resample import BootstrapConfig
from analysis.summary import Bootstrap, summarise
from core.compose import compose, to_trial
from sweeps.declared import read_plan
from tests.analysis.factory import MadeCell, World, make_ablation


def test_the_front_holds_what_nothing_beats_at_both() -> None:
    nan = float("nan")
    points = [(1.0, 0.5), (2.0, 0.7), (3.0, 0.6), (2.0, 0.7), (2.0, 0.65), (nan, 0.9), (0.5, nan)]
    assert pareto_front(points) == {0, 1, 3}
    rng = np.random.default_rng(0)
    cost, value = rng.random((2, 40))
    front = pareto_front(list(zip(cost, value, strict=True)))
    # Along the front, dearer is better, and every other point has one to its upper left.
    order = sorted(front, key=cost.__getitem__)
    assert (np.diff(value[order]) > 0).all()
    for place in set(range(40)) - front:
        assert any(cost[f] <= cost[place] and value[f] >= value[place] for f in front)


@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_a_p_value_is_significant_after_holm_where_it_is_below_its_level_and_all_smaller_ones_are(alpha: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        p = list(rng.random(6) ** 4)
        below = [value <= level for value, level in zip(p, holm_levels(p, alpha), strict=True)]
        stepped = [all(below[i] for i in range(6) if p[i] <= value) for value in p]
        assert stepped == [adjusted <= alpha for adjusted in holm(p)]
    assert np.isnan(holm_levels([0.1, float("nan")], alpha)[1])


def test_power_falls_with_the_number_of_comparisons_and_costs_are_those_of_the_trials(root: Path) -> None:
    cells = [MadeCell("floor", "mae", role="baseline", strength=0.9, trained=False)]
    cells += [MadeCell(f"row {i}", strength=1.2) for i in range(6)]
    world = World(patients=60, labels=("Edema", "Fracture"))
    make_ablation(root, "two", cells[:2], world)
    make_ablation(root, "many", cells, world)
    few, many = (
        summarise(collect(ResultReader(root), read_plan(root, name)), Bootstrap(BootstrapConfig(300)))
        for name in ("two", "many")
    )
    alone = compare(few)[0]
    assert 0 < alone.power < 1
    among = {c.row: c for c in compare(many)}
    smallest = min(among.values(), key=lambda c: c.p)
    assert all(0 <= c.power <= 1 for c in among.values())
    assert smallest.p <= alone.adjusted
    found = {e.row: e for e in efficiency(many)}
    seconds = [
        r.result.cost["seconds"] for r in many.collected.results.values() if r.result.config["method"]["name"] == "mae"
    ]
    assert found["floor"].hours == pytest.approx(np.mean(seconds) / 3600)
    assert found["floor"].is_on_front


def test_the_benchmark_reports_made_trials_and_removes_them(tmp_path: Path) -> None:
    config = to_trial(compose([f"paths.root={tmp_path}"]))
    row = bench_report(config, Size(trials=12, studies=60, labels=3))[0]
    assert (row["trials"], row["ablations"]) == (12, 1)
    assert row["seconds"] > 0
    assert row["peak_memory_bytes"] > 2**24
    assert list(tmp_path.iterdir()) == []


def test_the_plot_is_drawn_where_no_trained_row_is_on_the_front(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrained encoder that is the best costs nothing, and an axis of logarithms has no place for it."""
    cells = [MadeCell(f"row {i}", strength=1.0) for i in range(2)]
    make_ablation(root, "two", cells, World(patients=60, labels=("Edema", "Fracture")))
    summary = summarise(collect(ResultReader(root), read_plan(root, "two")), Bootstrap(BootstrapConfig(300)))
    beaten = [replace(e, is_on_front=False, hours=1.0) for e in efficiency(summary)]
    monkeypatch.setattr(pareto, "efficiency", lambda _: beaten)
    with base.look():
        assert pareto.draw(summary) is not None
