"""The benchmark of building builds what it decodes, from every format. Times are not judged."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from core.bench import build as bench
from core.bench.decoding import as_array
from core.compose import compose, to_trial
from core.data.build import prepare
from core.data.readers.folder import FolderConfig


def test_a_row_for_each_kind_of_file_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "FILMS", ((48, 40),))
    monkeypatch.setattr(bench, "SECONDS", 0.0)
    monkeypatch.setattr(bench, "FORMATS", {name: bench.FORMATS[name] for name in ("DICOM, plain", "PNG")})
    monkeypatch.setattr(bench, "cores", lambda: 1)
    rows = bench.bench_build(to_trial(compose(["data.size=32"])), 1)
    assert [(row["files"], row["film"], row["images"]) for row in rows] == [
        ("DICOM, plain", "48 x 40", 8),
        ("PNG", "48 x 40", 8),
    ]
    for row in rows:
        assert row["of_decoders"] == pytest.approx(row["built_per_second"] / row["decoded_per_second"])
        assert row["of_decoders_and_resize"] > 0
    assert logging.getLogger("core.data").isEnabledFor(logging.WARNING)


@pytest.mark.parametrize("name", bench.FORMATS)
def test_files_of_every_format_hold_the_film_and_are_built(name: str, tmp_path: Path) -> None:
    film = bench.made_film((48, 40), 0)
    table = bench.write_files(tmp_path, [bench.FORMATS[name](film)], 4)
    pixels = as_array(tmp_path / "000003.film")
    if name == "JPEG":
        assert np.abs(pixels.astype(int) - (film >> 4)).max() < 32
    else:
        np.testing.assert_array_equal(pixels, film >> 4 if name == "PNG" else film)
    store = prepare(FolderConfig(csv=str(table), size=32), tmp_path, workers=1)
    assert sum(split.n_images for split in store.splits.values()) == 4
