"""Made results on disk, for every test of analysis/."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.analysis.factory import MadeCell, baselines, make_ablation


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where results are made."""
    return tmp_path / "outputs"


@pytest.fixture
def pairing(root: Path) -> dict[str, list[str]]:
    """A small pairing ablation with its baselines; row name -> trial ids."""
    strengths = {"same_study": 1.6, "same_patient": 1.58, "random": 0.9, "none": 1.0}
    cells = [MadeCell(f"mvmae pairing={p}", values={"pairing": p}, strength=s) for p, s in strengths.items()]
    axes = {"pairing": list(strengths)}
    return make_ablation(root, "pairing", [*cells, *baselines()], axes=axes, draw=("strip", "fractions", "training"))
