"""The loader benchmark runs, counts images right and compares with the plain loader. Times are not judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.bench.loader import bench_loader
from core.compose import compose, to_trial
from tests.core.data.files import write_films


@pytest.mark.parametrize(("pairing", "ways"), [("same_study", 3), ("random", 2)])
def test_rows_of_the_table(pairing: str, ways: int, tmp_path: Path) -> None:
    csv = write_films(tmp_path, patients=12)
    overrides = ["data=folder", f"data.csv={csv}", "data.size=64", f"pairing={pairing}", f"paths.root={tmp_path}"]
    rows = bench_loader(to_trial(compose([*overrides, "loader.workers=0", "train.batch_size=4"])))
    assert len(rows) == ways
    assert [row["loader"] for row in rows][:: ways - 1] == ["memory map", "plain DataLoader, PNG"]
    assert rows[-1]["ratio"] == 1.0
    for row in rows:
        assert row["images_per_second"] > 0
        assert row["waited_seconds"] > 0
        # Two timed epochs of the 17 training studies' images, less the incomplete last batch of each.
        assert 2 * 16 <= row["images"] <= 2 * 40
