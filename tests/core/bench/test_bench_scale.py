"""The simulated data set has its counts and is opened, drawn from and read as a real one. Times are not judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.bench.scale import MIMIC_CXR, bench_scale
from core.bench.simulated import Scale, simulate
from core.compose import compose, to_trial
from core.data.store import StudyStore, open_store
from core.data.types import SPLITS

SMALL = Scale(studies=(3000, 60, 90), images=(5200, 90, 140), patients=(1000, 30, 30), size=32, studies_per_shard=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    simulate(folder, SMALL)
    return folder


@pytest.fixture(scope="module")
def store(folder: Path) -> StudyStore:
    return open_store(folder)


def test_defaults_are_the_counts_of_mimic_cxr() -> None:
    assert (sum(MIMIC_CXR.studies), sum(MIMIC_CXR.images), MIMIC_CXR.size) == (227_835, 377_110, 224)


def test_counts(store: StudyStore) -> None:
    tables = [store.splits[split] for split in SPLITS]
    assert tuple(t.n_studies for t in tables) == SMALL.studies
    assert tuple(t.n_images for t in tables) == SMALL.images
    assert tuple(len(set(t.patient_ids)) for t in tables) == SMALL.patients
    assert all(np.diff(t.start).min() == 1 for t in tables)
    assert len({name for t in tables for name in t.image_ids}) == sum(SMALL.images)


def test_shards_are_holes(folder: Path, store: StudyStore) -> None:
    shards = list(folder.glob("*.tar"))
    assert len(shards) == 47 + 1 + 2
    assert sum(path.stat().st_size for path in shards) > sum(SMALL.images) * SMALL.size**2
    assert sum(path.stat().st_blocks * 512 for path in shards) <= len(shards) * 4096
    table = store.splits["train"]
    assert not table.pixels.read(np.arange(1, table.n_images, 37)).any()


def test_the_same_seed_is_the_same_data_set(folder: Path, tmp_path: Path) -> None:
    simulate(tmp_path, SMALL)
    for name in ("studies.parquet", "images.parquet", "index.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_rows_of_the_table(tmp_path: Path) -> None:
    scale = Scale((400, 10, 10), (700, 12, 15), (90, 4, 4), 32, 64)
    trial = to_trial(compose([f"paths.root={tmp_path}", "train.batch_size=16"]))
    rows = bench_scale(trial, scale, pairings=["random"])
    assert [(r["pairing"], r["workers"]) for r in rows] == [("random", 1), ("same_study", 4)]
    for row in rows:
        assert (row["studies"], row["images"], row["drawn"]) == (420, 727, 400)
        assert row["peak_memory_bytes"] >= row["own_memory_bytes"] > 0
        assert 20 * 16 <= row["images_read"] <= 20 * 32
    assert not list(tmp_path.iterdir())
