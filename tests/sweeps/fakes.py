"""A stand-in for training, run by real workers. What it does to which trial is told by an environment variable."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import time
import uuid
from pathlib import Path

from core.config import TrialConfig
from core.data.store import StudyStore
from core.evaluation.base import Evaluated, Metric
from core.identity import trial_id
from core.results import write_result
from sweeps.folders import trial_folder
from sweeps.trial import Report

RULES = "VIEWPAIR_TEST_RULES"
STORE = StudyStore(name="fake", fingerprint="f", size=64, label_names=("Edema",), splits={})


def ran(root: Path) -> list[str]:
    """Ids of all trials that were begun, one entry a time, sorted."""
    return sorted(path.name.split("-")[0] for path in (root / "ran").glob("*"))


def ended(root: Path) -> list[str]:
    """Ids of all trials that were computed to the end, one entry a time, sorted."""
    return sorted(path.name.split("-")[0] for path in (root / "ended").glob("*"))


def note(folder: Path, trial: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{trial}-{uuid.uuid4().hex}").touch()


def compute(config: TrialConfig, root: Path, report: Report) -> None:
    """Write a real result of a made-up number, unless the rules say otherwise."""
    trial = trial_id(config)
    note(root / "ran", trial)
    report.stage("train")
    print("training", trial, "threads", os.environ["OMP_NUM_THREADS"], flush=True)
    rule = json.loads(os.environ.get(RULES, "{}")).get(trial, "")
    if rule == "fail":
        raise RuntimeError("the sky\nfell")
    if rule == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if rule == "crash":
        ctypes.string_at(0)
    if rule.startswith("slow"):
        for step in range(int(10 * float(rule.removeprefix("slow")))):
            time.sleep(0.1)
            report.step(step, 100)
    finish(config, root)
    note(root / "ended", trial)


def finish(config: TrialConfig, root: Path) -> Path:
    """Write a result for a trial."""
    evaluated = Evaluated([Metric("probe", "macro_auroc", 0.5, 10)])
    return write_result(trial_folder(root, trial_id(config)), config, STORE, evaluated)
