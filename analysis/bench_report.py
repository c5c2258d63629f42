"""How long a report of many trials takes, and how much memory: results are made on the disk of paths.root."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.config import TrialConfig
from core.evaluation.base import Metric
from core.io import sha256_file, write_json
from core.results import PREDICTIONS
from core.seal import RESULT
from sweeps.bench_ledger import content
from sweeps.declared import plan_path
from sweeps.folders import trial_folder
from sweeps.plan import SCHEMA as PLAN_SCHEMA
from sweeps.status import STATUS, Status

KEY = "bench"
SEEDS, ROWS = 5, 100
# Runs a report and tells what it took, in a process of its own: peak memory is a process's whole life long.
MEASURED = """
import json, resource, sys, time
from pathlib import Path
from analysis.report import write_reports
start = time.perf_counter()
write_reports(Path(sys.argv[1]), None)
seconds = time.perf_counter() - start
own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
told = {"seconds": seconds, "cpu_seconds": sum(u.ru_utime + u.ru_stime for u in (own, children))}
print(json.dumps(told))
"""


@dataclass(frozen=True)
class Size:
    """Of the made results. trials: in ablations of up to 100 rows and 5 seeds. studies, labels: of the predictions."""

    trials: int = 10_000
    studies: int = 3000
    labels: int = 14


def bench_report(config: TrialConfig, size: Size) -> list[dict[str, Any]]:
    """One row: seconds and peak memory of `viewpair report` over made results, which are removed at the end.

    seconds: of the report alone, by the clock; cpu_seconds: of all its processes. peak_memory_bytes: the greatest
    sum over its processes of what each holds for itself, looked at once a second: each look takes tens of milliseconds
    of a core that the report could have used.
    """
    root = Path(config.paths.root)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-report-", dir=root) as folder:
        start = time.perf_counter()
        made = make(Path(folder), config, size)
        making = time.perf_counter() - start
        told, memory = measured(Path(folder))
    return [{**asdict(size), "ablations": made, "making_seconds": making, **told, "peak_memory_bytes": memory}]


def measured(root: Path) -> tuple[dict[str, Any], int]:
    """What the report says of itself, and its peak memory in bytes."""
    peak = 0
    with subprocess.Popen([sys.executable, "-c", MEASURED, str(root)], stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            peak = max(peak, memory_of(process.pid))
            time.sleep(1)
        assert process.stdout is not None
        told = process.stdout.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, "the report")
    return json.loads(told), peak


def memory_of(pid: int) -> int:
    """Bytes that a process and its children hold for themselves; what they share counts once."""
    import psutil

    total = 0
    try:
        main = psutil.Process(pid)
        for process in (main, *main.children(recursive=True)):
            total += process.memory_full_info().uss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        # Ended between two looks.
        return total
    return total


def make(root: Path, config: TrialConfig, size: Size) -> int:
    """Make the results and their plans; returns the number of ablations."""
    template = content(config)
    template["data"] |= {"n_studies": {"test": size.studies}}
    studies = _studies(size)
    ablations = range(-(-size.trials // (ROWS * SEEDS)))
    for number in ablations:
        first = number * ROWS * SEEDS
        ids = [f"{place:016x}" for place in range(first, min(first + ROWS * SEEDS, size.trials))]
        for place, trial in enumerate(ids):
            if number:
                _write_again(root, f"{place:016x}", trial)
            else:
                _write_trial(root, trial, place, template, studies, size)
        write_json(plan_path(root, f"bench_{number}"), _plan(f"bench_{number}", ids))
    return len(ablations)


def _write_again(root: Path, made: str, trial: str) -> None:
    """A trial with the numbers of one of the first ablation: its predictions are a link, so that making stays short."""
    source, folder = (trial_folder(root, name) for name in (made, trial))
    where = folder / "evaluations" / KEY
    where.mkdir(parents=True)
    (where / PREDICTIONS).hardlink_to(source / "evaluations" / KEY / PREDICTIONS)
    told = (source / "evaluations" / KEY / RESULT).read_text()
    (where / RESULT).write_text(told.replace(f'"trial": "{made}"', f'"trial": "{trial}"'))
    (folder / STATUS).write_text((source / STATUS).read_text())


def _studies(size: Size) -> dict[str, Any]:
    """The columns that all predictions share."""
    rng = np.random.default_rng(0)
    patient = np.sort(rng.integers(0, max(2, size.studies // 2), size.studies))
    prevalence = np.linspace(0.02, 0.3, size.labels)
    truth = (rng.random((size.studies, size.labels)) < prevalence).astype(np.float32)
    truth[:2] = [[0.0], [1.0]]
    keys = {"evaluation": "probe", "label_fraction": 1.0, "draw": 0, "view": "study"}
    columns: dict[str, Any] = {name: [value] * size.studies for name, value in keys.items()}
    columns["study_id"] = [f"s{50_000_000 + place}" for place in range(size.studies)]
    columns["patient_id"] = [f"p{10_000_000 + code}" for code in patient]
    return {"columns": columns, "truth": truth, "shared": rng.normal(size=truth.shape).astype(np.float32)}


def _write_trial(
    root: Path, trial: str, place: int, template: dict[str, Any], studies: dict[str, Any], size: Size
) -> None:
    # Written plainly, as in the ledger's benchmark: waiting for the disk 10,000 times would take longer than the rest.
    rng = np.random.default_rng(int(trial, 16))
    folder = trial_folder(root, trial)
    where = folder / "evaluations" / KEY
    where.mkdir(parents=True)
    truth = studies["truth"]
    noise = 0.8 * studies["shared"] + 0.6 * rng.standard_normal(truth.shape, dtype=np.float32)
    probability = 1 / (1 + np.exp(1 - (0.5 + place / 1000) * truth - noise))
    columns = dict(studies["columns"])
    for label in range(size.labels):
        columns |= {f"p:L{label}": probability[:, label], f"y:L{label}": truth[:, label]}
    pq.write_table(pa.table(columns), where / PREDICTIONS, compression="zstd")
    names = ["", *(f"L{label}" for label in range(size.labels))]
    metrics = [
        asdict(Metric("probe", metric, float(rng.random()), size.studies, label, 1.0))
        for metric in ("auroc", "ap", "brier", "f1", "accuracy")
        for label in names
    ]
    path = where / PREDICTIONS
    files = {PREDICTIONS: {"bytes": path.stat().st_size, "sha256": sha256_file(path)}}
    cost = {"seconds": 1000.0, "images_per_second": float(rng.uniform(900, 1100)), "device_hours": 0.3}
    own = {"trial": trial, "seed": place % SEEDS, "files": files, "cost": cost, "metrics": metrics}
    (where / RESULT).write_text(json.dumps(template | own, indent=1, sort_keys=True))
    (folder / STATUS).write_text(json.dumps(asdict(Status("done", "evaluate"))))


def _plan(name: str, ids: list[str]) -> dict[str, Any]:
    rows = [ids[first : first + SEEDS] for first in range(0, len(ids), SEEDS)]
    names = ("mvmae", "mae", "vicreg", "simclr", "dino")
    return {
        "schema": PLAN_SCHEMA,
        "ablation": name,
        "title": name,
        "question": "",
        "axes": {"method.mask_ratio": [place / len(rows) for place in range(len(rows))]},
        "draw": ["curve"],
        "seeds": list(range(SEEDS)),
        "evaluation_key": KEY,
        "cells": [
            {
                "name": f"row {number}",
                "method": names[number % len(names)],
                "role": "cell",
                "evaluation": "probe",
                "values": {"method.mask_ratio": number / len(rows)},
                "trials": [{"id": trial, "seed": seed, "values": {}} for seed, trial in enumerate(row)],
            }
            for number, row in enumerate(rows)
        ],
    }
