"""Fixtures that every room's tests share."""

from __future__ import annotations

import os

# Before torch starts its pools: tests of many processes on few cores would otherwise wait on each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import multiprocessing
from pathlib import Path

import pytest

import core.workers

CHECKOUT = Path(__file__).resolve().parents[1]

# Here, since it has no effect once anything has started the one fork server, as building a phantom does. To import
# torch in every process would take longer than what most of these tests do.
PRELOAD = (
    "core.trainer",
    "core.engines.ddp_engine",
    "torch._dynamo",
    "pyarrow.compute",
    "tests.core.conftest",
    "tests.warm",
)
multiprocessing.get_context("forkserver").set_forkserver_preload(list(PRELOAD))
# And where a pool of the project's own starts the server.
core.workers.PRELOAD += PRELOAD


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real films and DICOM files; the test is skipped where it is absent."""
    folder = Path(os.environ.get("VIEWPAIR_SHARED_DATA", CHECKOUT.parent / "shared" / "data"))
    if not (folder / "films" / "films.csv").exists():
        pytest.skip(f"no real films at {folder} (set VIEWPAIR_SHARED_DATA)")
    return folder


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first: begun last, one of them would run on alone while the other processes are done."""
    items.sort(key=lambda item: _SLOWEST not in item.nodeid)


_SLOWEST = "test_readme.py::test_all_other_commands_run"
