"""A sweep as a user starts it, on phantoms; killed in training and run again, it ends with the same results."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from core.compose import trial_from_dict
from core.io import read_json
from sweeps.declared import read_plan
from sweeps.folders import trial_folder
from sweeps.ledger import read_ledger
from sweeps.status import read_status
from tests.shell import Command

pytestmark = pytest.mark.slow

TINY = """
title: Tiny
question: Does it run?
base:
  - train.epochs=20
  - train.batch_size=16
  - model.width=32
  - model.depth=1
  - model.decoder_width=32
  - model.decoder_depth=1
axes: {method.mask_ratio: [0.5, 0.75]}
baselines:
  supervised: {base: [method=supervised, train.epochs=1], evaluation: head}
seeds: [0]
"""


@pytest.fixture(scope="module")
def ablation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ablations") / "tiny.yaml"
    path.write_text(TINY)
    return path


def start(ablation: Path, root: Path) -> Command:
    words = ["sweep", f"ablation={ablation}", f"paths.root={root}", "data.patients=40", "runtime.checkpoint_every=3"]
    return Command([*words, "runtime.device=cpu"])


@pytest.fixture(scope="module")
def undisturbed(ablation: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("undisturbed")
    assert "3 trials: 3 done" in start(ablation, root).finished()
    return root


def results(root: Path) -> dict[str, Any]:
    """What each trial measured, and its exported weights' bytes; what it cost is left out."""
    plan, found = read_plan(root, "tiny"), {}
    for trial in (trial.id for cell in plan.cells for trial in cell.trials):
        folder = trial_folder(root, trial)
        result = read_json(folder / "evaluations" / plan.evaluation_key / "result.json")
        found[trial] = (result["metrics"], result["files"], (folder / "model.safetensors").read_bytes())
    return found


def test_results_verify_and_configs_say_what_ran(undisturbed: Path) -> None:
    plan = read_plan(undisturbed, "tiny")
    assert {line.state for line in read_ledger(undisturbed, plan.keys())} == {"done"}
    ratios = []
    for trial in plan.cells[0].trials + plan.cells[1].trials:
        saved = read_json(trial_folder(undisturbed, trial.id) / "config.json")
        assert saved["trial"] == trial.id
        ratios.append(trial_from_dict(saved["config"]).method.mask_ratio)
    assert ratios == [0.5, 0.75]


def test_run_again_it_finds_everything_done(ablation: Path, undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.glob("trials/*/**/*")}
    assert "3 were done before" in start(ablation, undisturbed).finished()
    assert {path: path.stat().st_mtime_ns for path in undisturbed.glob("trials/*/**/*")} == before


def test_killed_in_training_and_run_again_the_results_are_the_same(
    ablation: Path, undisturbed: Path, tmp_path: Path
) -> None:
    shutil.copytree(undisturbed / "data", tmp_path / "data")
    process = start(ablation, tmp_path)
    deadline = time.monotonic() + 200
    while not any((tmp_path / "trials").glob("*/checkpoints/*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    statuses = [read_status(folder) for folder in (tmp_path / "trials").iterdir()]
    assert any(status is not None and status.state == "running" for status in statuses)
    start(ablation, tmp_path).finished()
    plans = [(root / "sweeps" / "tiny" / "plan.json").read_bytes() for root in (tmp_path, undisturbed)]
    assert plans[0] == plans[1]
    assert results(tmp_path) == results(undisturbed)
