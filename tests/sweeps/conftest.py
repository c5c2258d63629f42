"""A small ablation and its plan, without data."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.plan import Plan, make_plan

SMALL = """
title: Small
question: Does it run?
base: [method=mvmae, train.epochs=1]
axes:
  method.mask_ratio: [0.5, 0.75]
seeds: [0, 1]
draw: [curve]
presets:
  demo:
    base: [train.batch_size=8]
"""


@pytest.fixture
def ablations(tmp_path: Path) -> Path:
    """A folder with one ablation file, small.yaml: four trials."""
    folder = tmp_path / "ablations"
    folder.mkdir()
    (folder / "small.yaml").write_text(SMALL)
    return folder


@pytest.fixture
def plan(ablations: Path) -> Plan:
    """The plan of small.yaml."""
    return make_plan("small", [], "demo", ablations)
