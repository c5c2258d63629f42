"""A small built data set that the tests of this folder share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.data.build import data_key, prepare
from core.data.readers.folder import FolderConfig
from tests.core.data.files import write_films

SIZE = 16


def films_config(csv: Path, **settings: object) -> FolderConfig:
    """Settings for 16 px pictures in shards of eight studies."""
    return FolderConfig(**{"csv": str(csv), "size": SIZE, "studies_per_shard": 8, **settings})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CSV of 30 patients' films: two studies each, in turn fl, f and ffl."""
    return write_films(tmp_path_factory.mktemp("films"), patients=30)


@pytest.fixture(scope="session")
def pristine(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set built from `films`; read only."""
    root = tmp_path_factory.mktemp("built")
    config = films_config(films)
    prepare(config, root, workers=1)
    return root / "data" / data_key(config)


@pytest.fixture
def built(pristine: Path, films: Path, tmp_path: Path) -> Path:
    """A copy of the built data set that a test may damage; its root is `tmp_path`."""
    folder = tmp_path / "data" / data_key(films_config(films))
    shutil.copytree(pristine, folder)
    return folder
