"""The phantom's benchmark counts the studies that it renders, and refuses other data. Times are not judged."""

from __future__ import annotations

import pytest

from core.bench.phantom import bench_phantom
from core.compose import compose, to_trial
from core.data.phantom import generate
from core.data.phantom.plan import plan_patient
from core.errors import ConfigError


def test_a_row_for_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.bench.phantom.SIZES", {32: 2, 48: 1})
    monkeypatch.setattr("core.bench.phantom.WARM_UP", 1)
    trial = to_trial(compose(["data=phantom"]))
    rendered: list[tuple[int, int]] = []
    whole = generate.complete_patient

    def counted(config, folder, number):  # type: ignore[no-untyped-def]
        rendered.append((config.pixels, number))
        whole(config, folder, number)

    monkeypatch.setattr("core.bench.phantom.complete_patient", counted)
    rows = bench_phantom(trial, 2)
    assert rendered == 2 * [(32, 2), (32, 0), (32, 1)] + 2 * [(48, 1), (48, 0)]
    first, second = (len(plan_patient(trial.data, number).studies) for number in (0, 1))
    assert [(row["size"], row["studies"]) for row in rows] == [(32, first + second), (48, first)]
    assert all(row["ms_per_study_per_core"] > 0 and row["wall_ms_per_study"] > 0 for row in rows)


def test_other_data_is_refused() -> None:
    with pytest.raises(ConfigError, match="data=folder is none"):
        bench_phantom(to_trial(compose(["data=folder", "data.csv=x.csv"])), 1)
