"""A data set and a method in memory: films whose pixels carry their labels, and an encoder that projects pixels."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.compose import evaluation_config
from core.config import MethodConfig, TrialConfig, setting
from core.data.store import StudyStore, StudyTable
from core.data.types import Bytes, Ints, View
from core.evaluation.base import EvaluationContext
from core.evaluation.features import extract
from core.evaluation.metrics import apply_policy

SIZE = 8
LABELS = ("Cardiomegaly", "Edema", "Pleural Effusion")


class ArrayPixels:
    """Pixels in memory; remembers how often each image row was read."""

    def __init__(self, pixels: Bytes) -> None:
        self.pixels, self.reads = pixels, np.zeros(len(pixels), np.int64)

    def read(self, rows: Ints) -> Bytes:
        np.add.at(self.reads, rows, 1)
        return self.pixels[rows]


class ProjectingEncoder(nn.Module):
    """A fixed random projection of the pixels, plus the view's number so that views differ."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.width = width
        generator = torch.Generator().manual_seed(7)
        self.projection = torch.randn(SIZE * SIZE, width, generator=generator, dtype=torch.float64)

    def embed(self, images: Tensor, view: Tensor, pool: str = "cls") -> Tensor:
        assert images.dtype == torch.uint8
        flat = images.flatten(1).double() / 255
        return (flat @ self.projection + view.double()[:, None]).float()


class FakeMethod(nn.Module):
    """A method that only has an encoder."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.encoder = ProjectingEncoder(width)


@dataclass
class FakeConfig(MethodConfig):
    """Settings of the fake method."""

    name: str = setting("fake", "method")
    label_fraction: float = setting(1.0, "share of patients")


def make_table(split: str, patients: int, seed: int, labels: np.ndarray | None = None) -> StudyTable:
    """A split of patients with one or two studies of one to three images; label l brightens row l of every film."""
    rng = np.random.default_rng([seed, len(split)])
    owner = np.repeat(np.arange(patients), rng.integers(1, 3, patients))
    n = len(owner)
    truth = (rng.random((n, len(LABELS))) < [0.3, 0.4, 0.5]).astype(np.float32)
    shapes = [[View.FRONTAL, View.LATERAL], [View.FRONTAL], [View.LATERAL], [View.FRONTAL, View.FRONTAL, View.LATERAL]]
    views = [shapes[i] for i in rng.choice(4, n, p=[0.5, 0.2, 0.1, 0.2])]
    start = np.append(0, np.cumsum([len(v) for v in views]))
    study = np.repeat(np.arange(n), np.diff(start))
    pixels = rng.integers(0, 120, (start[-1], SIZE, SIZE))
    pixels[:, : len(LABELS)] += (truth[study] * 60).astype(int)[:, :, None]
    return StudyTable(
        split=split,
        label_names=LABELS,
        study_ids=np.array([f"{split}-s{i}" for i in range(n)]),
        patient_ids=np.array([f"{split}-p{i}" for i in owner]),
        labels=truth if labels is None else labels,
        start=start,
        image_ids=np.array([f"{split}-i{i}" for i in range(start[-1])]),
        view=np.array([int(v) for vs in views for v in vs]),
        sites=np.full(n, ""),
        pixels=ArrayPixels(pixels.astype(np.uint8)),
    )


def make_store(seed: int = 0, train: int = 120) -> StudyStore:
    """A store of `train` training patients and a third as many in validate and test."""
    tables = {name: make_table(name, n, seed) for name, n in (("train", train), ("validate", 40), ("test", 50))}
    return StudyStore("fake", f"fingerprint{seed}", SIZE, LABELS, tables)


def make_config(**evaluation: Any) -> TrialConfig:
    """A trial's config with settings of the evaluation; kinds' own are given as dicts, such as probe={"draws": 1}."""
    node = evaluation_config()
    defaults = node()
    kinds = {k: type(getattr(defaults, k))(**v) for k, v in evaluation.items() if isinstance(v, dict)}
    shared = {k: v for k, v in evaluation.items() if not isinstance(v, dict)}
    return TrialConfig(seed=3, method=FakeConfig(), evaluation=node(**shared, **kinds))


def make_context(store: StudyStore, config: TrialConfig | None = None, method: Any = None) -> EvaluationContext:
    """What `evaluate` hands to each evaluation."""
    config, method = config or make_config(), method or FakeMethod()
    policy = config.evaluation.label_policy
    labels = {name: apply_policy(table.labels, policy) for name, table in store.splits.items()}
    features = extract(store, method, config.evaluation, "cpu")
    return EvaluationContext(config, store, method, features, labels, config.seed, "cpu")


@pytest.fixture(scope="session")
def store() -> StudyStore:
    """A store that no test changes."""
    return make_store()


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The makers above, for tests that need a store, a config or a context of their own."""
    return SimpleNamespace(
        table=make_table, store=make_store, config=make_config, context=make_context, method=FakeMethod, labels=LABELS
    )
