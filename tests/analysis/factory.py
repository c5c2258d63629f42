"""Made results: plans and trial folders whose AUROCs are known by construction.

A study's score for a label is strength * truth + noise, noise standard normal, so that the label's AUROC is
Phi(strength / sqrt(2)) whatever the strength. Part of the noise belongs to the study and is shared by all trials.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.evaluation.base import Metric
from core.evaluation.metrics import label_metrics
from core.io import canonical_hash, sha256_file, write_bytes, write_json
from sweeps.status import Status, write_status

LABELS = ("Atelectasis", "Cardiomegaly", "Edema", "Lung Lesion", "Pleural Effusion", "Pneumothorax")
KEY = "e7a1c0de"
FRACTIONS = {0.01: 0.45, 0.1: 0.75, 1.0: 1.0}


def key_rng(*parts: Any) -> np.random.Generator:
    """A generator seeded by any values."""
    digest = hashlib.sha256(json.dumps(parts, default=str).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


@dataclass(frozen=True)
class World:
    """The test studies of a made data set."""

    patients: int = 80
    labels: tuple[str, ...] = LABELS
    seed: int = 0
    name: str = "phantom"
    fingerprint: str = "5eed5eed5eed"
    label_policy: str = "zeros"

    def studies(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """study_ids [S], patient_ids [S], truth [S, L], shared noise [S, L]."""
        rng = key_rng("world", self.seed, self.patients)
        patient = np.repeat(np.arange(self.patients), rng.integers(1, 4, self.patients))
        study_ids = np.array([f"s{50_000_000 + 37 * i}" for i in range(len(patient))])
        patient_ids = np.array([f"p{10_000_000 + 91 * p}" for p in patient])
        prevalence = np.linspace(0.12, 0.45, len(self.labels))
        truth = (rng.random((len(patient), len(self.labels))) < prevalence).astype(np.float32)
        return study_ids, patient_ids, truth, rng.normal(size=truth.shape)


@dataclass(frozen=True)
class MadeCell:
    """A row to make. strength: separation at label fraction 1; spread: its deviation between seeds."""

    name: str
    method: str = "mvmae"
    role: str = "cell"
    evaluation: str = "probe"
    values: dict[str, Any] = field(default_factory=dict)
    strength: float = 1.2
    spread: float = 0.05
    trained: bool = True


def trial_id(cell: MadeCell, seed: int, values: dict[str, Any], salt: str = "") -> str:
    """16 hex digits."""
    return canonical_hash([cell.method, cell.name, cell.values, seed, values, salt], 16)


def make_ablation(
    root: Path,
    name: str,
    cells: list[MadeCell],
    world: World | None = None,
    seeds: tuple[int, ...] = (0, 1, 2),
    axes: dict[str, list[Any]] | None = None,
    draw: tuple[str, ...] = (),
    **plan: Any,
) -> dict[str, list[str]]:
    """Write an ablation's plan and its trials. Returns row name -> trial ids, in the order of the plan."""
    world = world or World()
    declared, ids = [], {}
    for cell in cells:
        fractions = list(FRACTIONS) if cell.evaluation == "head" else [None]
        trials = []
        for fraction in fractions:
            values = {} if fraction is None else {"method.label_fraction": fraction}
            for seed in seeds:
                identity = trial_id(cell, seed, values)
                trials.append({"id": identity, "seed": seed, "values": values})
                write_trial(root, identity, cell, seed, world, fraction)
        ids[cell.name] = [t["id"] for t in trials]
        fields = {k: getattr(cell, k) for k in ("name", "method", "role", "evaluation", "values")}
        declared.append(fields | {"trials": trials})
    content = {
        "schema": 1,
        "ablation": name,
        "title": name.replace("_", " ").capitalize(),
        "question": "Does it matter?",
        "preset": "demo",
        "axes": axes or {},
        "draw": list(draw),
        "claims": [],
        "seeds": list(seeds),
        "evaluation_key": KEY,
        "overrides": [],
        "cells": declared,
    }
    write_json(root / "sweeps" / name / "plan.json", content | plan)
    return ids


def predict(cell: MadeCell, seed: int, world: World, fraction: float, draw: int) -> np.ndarray:
    """Probabilities [S, L] of a made trial."""
    _, _, truth, shared = world.studies()
    wobble = cell.spread * key_rng("seed", cell.name, seed).normal()
    wobble += (1 - fraction) * 0.06 * key_rng("draw", draw).normal()
    own = key_rng("noise", cell.name, seed, fraction, draw).normal(size=truth.shape)
    score = (cell.strength * FRACTIONS[fraction] + wobble) * truth + 0.8 * shared + 0.6 * own
    return (1 / (1 + np.exp(1.0 - score))).astype(np.float32)


def frame(evaluation: str, world: World, fraction: float, draw: int, probability: np.ndarray) -> pd.DataFrame:
    """A prediction table as `Evaluated` describes it."""
    study_ids, patient_ids, truth, _ = world.studies()
    columns: dict[str, Any] = {"evaluation": evaluation, "label_fraction": fraction, "draw": draw, "view": "study"}
    columns |= {"study_id": study_ids, "patient_id": patient_ids}
    for place, label in enumerate(world.labels):
        columns |= {f"p:{label}": probability[:, place], f"y:{label}": truth[:, place]}
    return pd.DataFrame(columns)


def measure(cell: MadeCell, seed: int, world: World, own: float | None) -> tuple[list[Metric], pd.DataFrame]:
    """Metrics and predictions of a made trial. own: the label fraction that it was trained at, if any."""
    truth = world.studies()[2]
    setups = [("head", own, seed)] if own is not None else []
    setups += [("probe", f, d) for f in FRACTIONS for d in range(3 if f < 1 else 1)] if own is None else []
    metrics, frames = [], []
    for evaluation, fraction, draw in [*setups, ("knn", 1.0, 0)]:
        probability = predict(cell, seed, world, fraction, draw)
        metrics += label_metrics(evaluation, world.labels, truth, probability, label_fraction=fraction, draw=draw)
        frames.append(frame(evaluation, world, fraction, draw, probability))
    rng = key_rng("extra", cell.name, seed)
    recall = 0.04 + 0.35 * max(0.0, cell.strength - 0.6) * rng.uniform(0.9, 1.1)
    metrics.append(Metric("retrieval", "recall_at_1", recall, 60, view="frontal"))
    metrics.append(Metric("rank", "effective_rank", 40 * rng.uniform(0.9, 1.1), 900))
    return metrics, pd.concat(frames, ignore_index=True)


def write_trial(root: Path, identity: str, cell: MadeCell, seed: int, world: World, own: float | None = None) -> Path:
    """Write a finished trial's folder: status, telemetry, cost and result. Returns the result's folder."""
    trial = root / "trials" / identity
    folder = trial / "evaluations" / KEY
    metrics, predictions = measure(cell, seed, world, own)
    folder.mkdir(parents=True, exist_ok=True)
    predictions.to_parquet(folder / "predictions.parquet", engine="pyarrow", index=False, compression="zstd")
    if cell.method in ("mae", "mvmae"):
        write_bytes(folder / "gallery.npz", gallery(seed))
    files = sorted(p.name for p in folder.iterdir() if p.name != "result.json")
    seconds = 0.2 if not cell.trained else 9 + key_rng("time", cell.name, seed).uniform(0, 3)
    content = {
        "schema": 1,
        "trial": identity,
        "seed": seed,
        "config": {"seed": seed, "method": {"name": cell.method, **cell.values}, "data": {"size": 64}},
        "code": "0.1.0+abc1234",
        "data": {
            "name": world.name,
            "fingerprint": world.fingerprint,
            "labels": list(world.labels),
            "n_studies": {"train": 1000, "validate": 100, "test": len(world.studies()[0])},
        },
        "label_policy": world.label_policy,
        "cost": {"seconds": seconds, "images_per_second": 9000 / seconds, "device": "cpu", "parameters": 2_000_000},
        "metrics": [asdict(m) for m in metrics],
        "skipped": {},
        "files": {n: {"bytes": (folder / n).stat().st_size, "sha256": sha256_file(folder / n)} for n in files},
    }
    write_json(folder / "result.json", content)
    write_status(trial, Status("done", "evaluate"))
    write_bytes(trial / "telemetry.jsonl", telemetry(cell, seed).encode())
    return folder


def telemetry(cell: MadeCell, seed: int) -> str:
    """Lines of a made training run; none for an encoder that was not trained."""
    if not cell.trained:
        return ""
    rng = key_rng("loss", cell.name, seed)
    floor = 0.4 + 0.1 * key_rng("floor", cell.name).uniform()
    lines = []
    for step in range(20, 241, 20):
        loss = floor + 0.9 * math.exp(-step / 60) + 0.01 * rng.normal()
        lines.append({"step": step, "epoch": step // 20, "seconds": step * rng.uniform(), "loss": loss, "lr": 1e-4})
    return "".join(json.dumps(line) + "\n" for line in lines)


def gallery(seed: int, size: int = 32) -> bytes:
    """gallery.npz with two studies of two views and one of a single view."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    chest = np.stack([np.exp(-((x - a) ** 2 + y**2) * b) for a, b in rng.uniform(0.2, 2, (5, 2))])
    images = (255 * chest).astype(np.uint8)
    masked = images.copy()
    masked[:, (np.indices((size, size)).sum(0) // 8) % 2 == 0] = 128
    arrays = {"input": images, "masked": masked, "output": (images * 0.9).astype(np.uint8)}
    arrays |= {"view": np.array([0, 1, 0, 1, 0]), "study": np.array([0, 0, 1, 1, 2])}
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays, study_ids=np.array(["s1", "s2", "s3"]))
    return packed.getvalue()


def baselines() -> list[MadeCell]:
    """The usual baseline rows."""
    base = {"role": "baseline"}
    return [
        MadeCell("mae", "mae", strength=1.05, **base),
        MadeCell("vicreg", "vicreg", strength=1.15, **base),
        MadeCell("supervised", "supervised", evaluation="head", strength=1.3, **base),
        MadeCell("random encoder", "mvmae", strength=0.55, trained=False, **base),
    ]
