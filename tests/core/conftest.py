"""A small phantom, built once, for tests that train."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from core.compose import compose, to_trial
from core.config import TrialConfig
from core.data.build import prepare
from core.data.store import StudyStore

SMALL = (
    "data.patients=40",
    "data.size=32",
    "data.reports=true",
    "data.single_view_share=0.3",
    "model.width=32",
    "model.depth=2",
    "model.heads=2",
    "model.decoder_width=16",
    "train.epochs=3",
    "train.batch_size=8",
    "runtime.log_every=1",
    "runtime.threads=1",
    "runtime.tensorboard=false",
    "runtime.checkpoint_every=2",
)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyStore]:
    """(root, store) of a small phantom."""
    root = tmp_path_factory.mktemp("root")
    return root, prepare(to_trial(compose(list(SMALL))).data, root)


@pytest.fixture(scope="session")
def trial(built: tuple[Path, StudyStore]) -> Callable[..., TrialConfig]:
    """trial("method=mae", ...): a small trial's config on that phantom."""
    return lambda *overrides: small_trial(built[0], overrides)


def small_trial(root: Path, overrides: tuple[str, ...]) -> TrialConfig:
    """The config of a small trial below `root`."""
    return to_trial(compose([*SMALL, f"paths.root={root}", *overrides]))


def start(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """Start `target` in a process that is forked from a fresh one: this one has threads, which no fork survives."""
    process = multiprocessing.get_context("forkserver").Process(target=target, args=arguments)
    process.start()
    return process


def in_process(target: Callable[..., None], *arguments: object) -> int | None:
    """Run `target` in a process of its own and return its exit code (negative: the signal that ended it)."""
    process = start(target, *arguments)
    process.join(timeout=120)
    return process.exitcode
