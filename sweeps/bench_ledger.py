"""How fast the ledger lists many trials: finished ones in folders as a sweep leaves them, on the disk of paths.root."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.compose import trial_to_dict
from core.config import TrialConfig
from core.evaluation.base import Metric
from core.identity import evaluation_key
from core.io import write_json
from core.results import PREDICTIONS
from core.seal import RESULT, SCHEMA, SEAL, seal_of
from sweeps.declared import DeclaredPlan, plan_path, read_plan
from sweeps.folders import trial_folder
from sweeps.ledger import read_ledger
from sweeps.plan import SCHEMA as PLAN_SCHEMA
from sweeps.show import show_status
from sweeps.slurm.overview import overview
from sweeps.status import STATUS, Status

ABLATION = "bench"
# as in trials of the quick preset: a result.json of 80 KB, predictions of 120 KB
METRICS, PREDICTIONS_BYTES = 320, 122_203
IN_FULL = 1000
SEEDS = 5


def bench_ledger(config: TrialConfig, trials: int, repeats: int) -> list[dict[str, Any]]:
    """Rows of a table, one a way to list trials, timed in this run on the same folders.

    ms_per_1000: median milliseconds per thousand trials. ratio: that of reading every result in full over this way's.
    Reading in full is timed on at most a thousand trials. The folders are removed at the end.
    """
    root = Path(config.paths.root)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-ledger-", dir=root) as folder:
        keys = finished_trials(Path(folder), config, trials)
        some = dict(list(keys.items())[:IN_FULL])
        rows = [
            timed("ledger", trials, repeats, lambda: read_ledger(Path(folder), keys)),
            timed("viewpair status", trials, repeats, lambda: status(Path(folder))),
        ]
        for trial, key in some.items():
            (trial_folder(Path(folder), trial) / "evaluations" / key / SEAL).unlink()
        full = timed("every result read in full", len(some), min(repeats, 3), lambda: read_ledger(Path(folder), some))
    return [{**row, "ratio": full["ms_per_1000"] / row["ms_per_1000"]} for row in [*rows, full]]


def timed(what: str, trials: int, repeats: int, run: Callable[[], object]) -> dict[str, Any]:
    """A row: the median of `repeats` runs after one that is not counted."""
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    return {"way": what, "trials": trials, "seconds": median, "ms_per_1000": 1e6 * median / trials}


def status(root: Path) -> str:
    """What `viewpair status` does, from plan.json to the printed text."""
    return show_status(read_plan(root, ABLATION), root, overview(root).places)


def finished_trials(root: Path, config: TrialConfig, count: int) -> dict[str, str]:
    """Make the folders of `count` finished trials and their plan; returns id -> evaluation key."""
    key = evaluation_key(config)
    ids = [f"{number:016x}" for number in range(count)]
    text = json.dumps(content(config), indent=1, sort_keys=True)
    for trial in ids:
        finish(trial_folder(root, trial), key, text)
    write_json(plan_path(root, ABLATION), plan(config, key, ids))
    plan_of: DeclaredPlan = read_plan(root, ABLATION)
    return plan_of.keys()


def content(config: TrialConfig) -> dict[str, Any]:
    """A result of the usual size."""
    metric = Metric("probe", "macro_auroc", 0.123456789012345, 180, "Enlarged Cardiomediastinum", 0.1, 0, "frontal", 9)
    return {
        "schema": SCHEMA,
        "trial": "0" * 16,
        "seed": config.seed,
        "config": trial_to_dict(config),
        "code": "0" * 12,
        "data": {"name": "phantom", "fingerprint": "0" * 64, "labels": [], "n_studies": {}},
        "label_policy": config.evaluation.label_policy,
        "metrics": [asdict(metric)] * METRICS,
        "skipped": {},
        "files": {PREDICTIONS: {"bytes": PREDICTIONS_BYTES, "sha256": "0" * 64}},
        "cost": {},
    }


def finish(folder: Path, key: str, result: str) -> None:
    """One trial's folder. Written plainly: waiting for the disk 10,000 times over would take longer than the rest."""
    where, lease = folder / "evaluations" / key, folder / "lease" / "1"
    for made in (where, lease):
        made.mkdir(parents=True)
    (lease / "released.json").write_text("{}")
    (folder / STATUS).write_text(json.dumps(asdict(Status("done", "evaluate"))))
    (where / RESULT).write_text(result)
    with (where / PREDICTIONS).open("wb") as handle:
        handle.truncate(PREDICTIONS_BYTES)
    (where / SEAL).write_text(json.dumps(seal_of(where, {PREDICTIONS: PREDICTIONS_BYTES})))


def plan(config: TrialConfig, key: str, ids: list[str]) -> dict[str, Any]:
    """The content of plan.json: rows of a few seeds each."""
    rows = [ids[first : first + SEEDS] for first in range(0, len(ids), SEEDS)]
    return {
        "schema": PLAN_SCHEMA,
        "ablation": ABLATION,
        "title": "",
        "question": "",
        "axes": {},
        "draw": [],
        "seeds": list(range(SEEDS)),
        "evaluation_key": key,
        "cells": [
            {
                "name": f"row {number}",
                "method": config.method.name,
                "role": "cell",
                "evaluation": "probe",
                "values": {},
                "trials": [{"id": trial, "seed": seed, "values": {}} for seed, trial in enumerate(row)],
            }
            for number, row in enumerate(rows)
        ],
    }
