"""The loader benchmark runs, counts images right and compares with the other ways. Times are not judged."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.bench import loader, rivals
from core.bench.copying import alternate, image_rows
from core.bench.loader import PLAIN, XRV, bench_loader
from core.bench.rivals import TABLE, TorchXRayVisionFiles, write_films
from core.compose import compose, to_trial
from core.config import LoaderConfig, TrialConfig
from core.data.build import prepare
from core.data.loader import Loader
from core.data.store import StudyTable
from tests.core.data import files
from tests.core.data.test_loader import pairing


def small(tmp_path: Path, name: str) -> TrialConfig:
    csv = files.write_films(tmp_path, patients=12)
    overrides = ["data=folder", f"data.csv={csv}", "data.size=64", f"pairing={name}", f"paths.root={tmp_path}"]
    return to_trial(compose([*overrides, "loader.workers=0", "train.batch_size=4"]))


def films(tmp_path: Path) -> StudyTable:
    return prepare(small(tmp_path, "same_study").data, tmp_path, workers=1).splits["train"]


class Library(types.ModuleType):
    """Stands in for torchxrayvision, which the tests do not need: its dataset as far as the benchmark uses it."""

    class datasets:  # noqa: N801 (its name there)
        class NIH_Dataset:  # noqa: N801 (its name there)
            def __init__(self, imgpath: str, csvpath: str, unique_patients: bool) -> None:
                assert not unique_patients, "of each patient it would keep one film"
                lines = Path(csvpath).read_text().splitlines()[1:]
                self.paths = [Path(imgpath) / line.split(",")[0] for line in lines]

            def __getitem__(self, index: int) -> dict[str, Any]:
                pixels = np.array(Image.open(self.paths[index]), np.float32)[None]
                return {"img": (pixels / 255 * 2 - 1) * 1024}


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchxrayvision", Library("torchxrayvision"))
    monkeypatch.setattr(loader, "torchxrayvision_is_there", lambda: True)
    rivals.nih_dataset.cache_clear()


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(("name", "ours"), [("same_study", 2), ("random", 1)])
def test_rows_of_the_table(name: str, ours: int, tmp_path: Path) -> None:
    rows = bench_loader(small(tmp_path, name))
    assert [row["loader"] for row in rows][ours:-3] == [PLAIN, XRV]
    by_name = {row["loader"]: row for row in rows}
    assert by_name[PLAIN]["ratio_plain"] == by_name[XRV]["ratio_torchxrayvision"] == 1.0
    for row in rows[:-3]:
        assert row["images_per_second"] > 0
        assert row["waited_seconds"] > 0
        assert row["ratio_plain"] == pytest.approx(row["images_per_second"] / by_name[PLAIN]["images_per_second"])
        # An epoch of the 17 training studies' images, less the incomplete last batch.
        assert 16 <= row["images"] <= 40
    read, copied, one_by_one = rows[-3:]
    assert copied["ratio_memcpy"] == 1.0
    for row in (read, one_by_one):
        assert row["images"] == copied["images"] == by_name["memory map"]["images"]
        assert row["ratio_memcpy"] == pytest.approx(copied["seconds"] / row["seconds"])


def test_what_is_not_installed_is_left_out_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "torchxrayvision_is_there", lambda: False)
    rows = bench_loader(small(tmp_path, "random"))
    (absent,) = (row for row in rows if row["loader"].startswith(XRV))
    assert "not installed (pip install" in absent["loader"]
    assert list(absent) == ["loader"]
    assert not any("ratio_torchxrayvision" in row for row in rows)


@pytest.mark.usefixtures("library")
def test_the_rivals_see_the_same_pictures(tmp_path: Path) -> None:
    table = films(tmp_path)
    names = write_films(table, tmp_path)
    assert (tmp_path / TABLE).read_text().count("\n") == len(names) + 1 == table.n_images + 1
    pixels = table.pixels.read(np.arange(table.n_images))
    rival = TorchXRayVisionFiles(tmp_path, names)
    for row in (0, table.n_images - 1):
        np.testing.assert_allclose(rival[row][0].numpy(), pixels[row] / 255 * 2048 - 1024, atol=1e-3)


def test_the_copied_bytes_are_those_of_an_epoch(tmp_path: Path) -> None:
    table = films(tmp_path)
    ours = Loader(table, pairing("same_study"), LoaderConfig(), seed=1, batch_size=4)
    for step, rows in enumerate(image_rows(ours)):
        assert (table.pixels.read(rows) == ours.batch(step).images[:, 0].numpy()).all()


def test_ways_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr("core.bench.copying.time.perf_counter", lambda: next(clock))
    called: list[str] = []
    seconds = alternate([lambda: called.append("a"), lambda: (called.append("b"), next(clock))[0]])
    assert seconds == [1, 2]
    assert "".join(called) == "ab" * 9
