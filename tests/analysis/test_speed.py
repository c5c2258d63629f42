"""Reports of throughput results that were made up, so that every number can be computed by hand."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest

from analysis.collect import ResultReader, collect
from analysis.measures.throughput import console
from analysis.plots import base
from analysis.plots.scaling import lines_of
from analysis.report import write_reports
from analysis.speed import EFFICIENCY, RATE, RATIO, SpeedSummary, Spread, summarise_speed
from core.io import write_json
from sweeps.declared import read_plan
from sweeps.status import Status, write_status
from tests.analysis.factory import KEY, MadeCell, World, baselines, make_ablation

# scaling, processes, nodes: images per second of each repetition; None: it never ran
RATES: dict[tuple[str, str], tuple[int, int, list[float] | None]] = {
    ("strong", "1"): (1, 1, [90.0, 110.0]),
    ("strong", "2"): (2, 1, [150.0, 170.0]),
    ("strong", "8 on 2 nodes"): (8, 2, None),
    ("weak", "1"): (1, 1, [100.0, 100.0]),
    ("weak", "2"): (2, 1, [180.0, 200.0]),
    ("weak", "8 on 2 nodes"): (8, 2, [640.0]),
}
OTHERS = {
    "step_seconds": 0.25,
    "mfu": 0.41,
    "peak_memory_bytes": 3 * 2.0**30,
    "data_wait_seconds": 0.002,
    "communication_seconds": 0.03,
    "first_step_seconds": 12.5,
}


def write_result(root: Path, trial: str, seed: int, values: dict[str, float], device: str) -> None:
    """A finished throughput trial."""
    metric = {"evaluation": "throughput", "n": 30, "label": "", "label_fraction": None, "draw": 0}
    metric |= {"view": "study", "n_positive": -1}
    content = {
        "schema": 1,
        "trial": trial,
        "seed": seed,
        "config": {},
        "code": "0.1.0+abc1234",
        "data": {"name": "phantom", "fingerprint": "5eed", "labels": [], "n_studies": {"train": 100}},
        "label_policy": "zeros",
        "cost": {"device": device, "seconds": 9.0},
        "metrics": [{**metric, "metric": name, "value": value} for name, value in values.items()],
        "skipped": {},
        "files": {},
    }
    write_json(root / "trials" / trial / "evaluations" / KEY / "result.json", content)


def make_scaling(root: Path, device: str = "Some GPU") -> None:
    """An ablation `scaling` with RATES."""
    cells: list[dict[str, Any]] = []
    for place, ((scaling, processes), (count, nodes, rates)) in enumerate(RATES.items()):
        trials = [{"id": f"{place:015x}{seed}", "seed": seed, "values": {}} for seed in (0, 1)]
        values = {"measure.scaling": scaling, "processes": processes}
        cell = {"name": f"{scaling} {processes}", "method": "mvmae", "role": "cell", "evaluation": "probe"}
        cells.append({**cell, "values": values, "trials": trials})
        for trial, rate in zip(trials, rates or [], strict=False):
            found = {"images_per_second": rate, "processes": float(count), "nodes": float(nodes), **OTHERS}
            write_result(root, str(trial["id"]), int(str(trial["seed"])), found, device)
        if rates is None:
            write_status(root / "trials" / str(trials[0]["id"]), Status("skipped", error="here are 2 GPUs"))
    plan = {
        "schema": 1,
        "ablation": "scaling",
        "title": "Scaling",
        "question": "How far?",
        "preset": "demo",
        "measure": "throughput",
        "axes": {"measure.scaling": ["strong", "weak"], "processes": ["1", "2", "8 on 2 nodes"]},
        "draw": ["scaling", "throughput"],
        "claims": [],
        "seeds": [0, 1],
        "evaluation_key": KEY,
        "overrides": [],
        "cells": cells,
    }
    write_json(root / "sweeps" / "scaling" / "plan.json", plan)


def summary_of(root: Path) -> SpeedSummary:
    return summarise_speed(collect(ResultReader(root), read_plan(root, "scaling")))


def numbers(spread: Spread) -> list[float]:
    return [spread.mean, spread.low, spread.high]


def test_efficiency_and_ratio_are_those_computed_by_hand(root: Path) -> None:
    make_scaling(root)
    rows = {row.cell.name: row.entries for row in summary_of(root).rows}
    # mean 160 over 2 x mean 100; at worst 150 over 2 x 110, at best 170 over 2 x 90
    assert numbers(rows["strong 2"][EFFICIENCY.key]) == pytest.approx([0.8, 150 / 220, 170 / 180])
    # of the weak one with one process, not of the first row
    assert numbers(rows["weak 2"][EFFICIENCY.key]) == pytest.approx([0.95, 0.9, 1.0])
    assert numbers(rows["weak 8 on 2 nodes"][EFFICIENCY.key]) == pytest.approx([0.8, 0.8, 0.8])
    assert rows["weak 1"][EFFICIENCY.key].mean == 1.0
    assert numbers(rows["weak 2"][RATIO.key]) == pytest.approx([1.9, 180 / 110, 200 / 90])
    assert all(math.isnan(value) for value in numbers(rows["strong 8 on 2 nodes"][EFFICIENCY.key]))


def test_without_one_process_there_is_no_efficiency(root: Path) -> None:
    make_scaling(root)
    for trial in ("0" * 15 + "0", "0" * 15 + "1"):
        (root / "trials" / trial / "evaluations" / KEY / "result.json").unlink()
    rows = {row.cell.name: row.entries for row in summary_of(root).rows}
    assert math.isnan(rows["strong 2"][EFFICIENCY.key].mean)
    assert math.isnan(rows["strong 2"][RATIO.key].mean)
    assert rows["weak 2"][EFFICIENCY.key].mean == pytest.approx(0.95)
    assert rows["strong 2"][RATE.key].mean == 160


def test_the_table_the_page_and_the_figures(root: Path) -> None:
    make_scaling(root)
    printed = write_reports(root, ["scaling"])
    folder = root / "reports" / "scaling"
    assert printed.path == folder / "report.md"
    with (folder / "table.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [float(line["images_per_second"] or "nan") for line in lines][:2] == [100.0, 160.0]
    assert [line["repetitions"] for line in lines] == ["2", "2", "0", "2", "2", "1"]
    assert float(lines[1]["peak_memory_bytes"]) == 3 * 2**30
    text = printed.main_table
    assert "3,072" in text
    assert "0.80 [0.68, 0.94]" in text
    assert "1 of 2" in text
    assert "on Some GPU; medians over 30 timed optimiser steps" in text
    page = printed.path.read_text()
    assert "strong 8 on 2 nodes, seed 0" in page
    assert "skipped: here are 2 GPUs" in page
    for name in ("scaling.png", "scaling.pdf", "throughput.png", "table.tex", "results.parquet"):
        assert (folder / name).stat().st_size > 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_reports(root, ["scaling"])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_curves_begin_with_one_process_and_the_ideal_is_a_straight_line(root: Path) -> None:
    make_scaling(root)
    summary = summary_of(root)
    lines = lines_of([row for row in summary.rows if row.found])
    counts = {(line[0][0][1], line[1]): [row.processes for row in rows] for line, rows in lines.items()}
    assert counts == {("strong", 1): [1, 2], ("weak", 1): [1, 2], ("weak", 2): [1, 8]}
    with base.look():
        drawn = base.draw("scaling", summary)
        assert drawn is not None
        rates = drawn.figure.axes[0]
    ideals = [line for line in rates.lines if line.get_linestyle() not in ("-", "None")]
    assert {tuple(line.get_ydata()) for line in ideals} == {(100.0, 200.0, 800.0)}


def test_two_devices_in_one_table_are_told(root: Path) -> None:
    make_scaling(root)
    found = {"images_per_second": 1.0, "processes": 1.0, "nodes": 1.0, **OTHERS}
    write_result(root, "0" * 15 + "0", 0, found, "Another GPU")
    assert "Another GPU and Some GPU (**more than one: rows do not compare**)" in console(summary_of(root))


def test_reports_of_what_is_learned_leave_speed_out(root: Path) -> None:
    world = World(patients=30, labels=("Edema",))
    make_ablation(root, "baselines", baselines()[:2], world, seeds=(0,))
    make_ablation(root, "pairing", [MadeCell("mvmae pairing=none", values={"pairing": "none"})], world, seeds=(0,))
    alone = write_reports(root, None).main_table
    figure = (root / "reports" / "main.png").read_bytes()
    make_scaling(root)
    both = write_reports(root, None)
    assert both.main_table == alone
    assert (root / "reports" / "main.png").read_bytes() == figure
    index = both.path.read_text()
    assert "[Scaling](scaling/report.md)" in index
    assert write_reports(root, ["scaling"]).main_table != alone
    assert both.path.read_text().startswith("# viewpair report\n\n## Baselines")
