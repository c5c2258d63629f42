"""Trials of several shapes in one sweep, on the cluster: each shape in arrays of its own, on as many nodes."""

from __future__ import annotations

from pathlib import Path

from core.io import read_json
from core.results import read_result
from sweeps.slurm.runs import submitted
from tests.slurm.conftest import DevCluster
from tests.slurm.sweeping import BASE, Sweep

SPEED = ["measure=throughput", "measure.warm_up=1", "measure.steps=3", "measure.profiled=1"]


def test_one_process_and_two_on_two_nodes(cluster: DevCluster, tmp_path: Path) -> None:
    file = tmp_path / "speed.yaml"
    axis = "{1: [runtime.processes=1, runtime.nodes=1], 2 on 2 nodes: [runtime.processes=2, runtime.nodes=2],"
    axis += " 8 on 4 nodes: [runtime.processes=8, runtime.nodes=4]}"
    text = f"title: T\nquestion: Q\nbase: {[*BASE, *SPEED]}\naxes:\n  processes: {axis}\nseeds: [0]\ndraw: [scaling]\n"
    file.write_text(text)
    sweep = Sweep(cluster, file, tmp_path / "out")
    # the cluster has three nodes
    printed = sweep.submit()
    assert "1 trials skipped: SLURM refuses these launcher settings" in printed
    assert "2 processes a trial" in printed
    runs = submitted(sweep.root)
    assert [read_json(run / "run.json")["ranks"] for run in runs] == [1, 2]
    assert [read_json(run / "run.json")["launcher"]["nodes"] for run in runs] == [1, 2]
    scripts = [path.read_text() for run in runs for path in run.glob("logs/*_submission.sh")]
    assert sorted("--nodes=2" in script for script in scripts) == [False, False, False, True]
    assert "2 trials are under way already" in sweep.submit()
    sweep.until(lambda: [line.state for line in sweep.ledger()] == ["done", "done", "skipped"], 240)
    found = []
    for trial, key in list(sweep.keys.items())[:2]:
        values = {m.metric: m.value for m in read_result(sweep.folder(trial) / "evaluations" / key).metrics}
        found.append((values["processes"], values["nodes"], values["communication_seconds"] > 0))
    assert found == [(1, 1, False), (2, 2, True)]
    assert "hole" in sweep.call("report")
