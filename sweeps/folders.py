"""Where a sweep's things lie under the root folder."""

from __future__ import annotations

from pathlib import Path


def trial_folder(root: Path, trial: str) -> Path:
    """Everything of one trial: config, checkpoints, status, lease, evaluations."""
    return root / "trials" / trial


def sweep_folder(root: Path, ablation: str) -> Path:
    """The plan of one ablation."""
    return root / "sweeps" / ablation


def runs_folder(root: Path) -> Path:
    """Queues and worker logs, a folder each time that a sweep is started."""
    return root / "runs"
