"""The engine benchmark runs every engine on real processes. Times are not judged."""

from __future__ import annotations

import pytest

from core.bench.engines import bench_engines, engines
from core.compose import compose, to_trial
from core.errors import ConfigError

SMALL = [
    "data.size=32",
    "model.width=32",
    "model.depth=1",
    "model.heads=2",
    "model.decoder_width=16",
    "runtime.threads=1",
]


def test_rows_of_the_table() -> None:
    rows = bench_engines(to_trial(compose([*SMALL, "train.batch_size=8", "train.precision=fp32"])), repeats=1)
    assert [row["engine"] for row in rows] == ["ddp", *(f"deepspeed ZeRO {stage}" for stage in range(4))]
    assert rows[0]["ratio"] == 1.0
    for row in rows:
        assert row["communication_seconds"] > 0
        assert row["seconds_per_step"] > 0
        assert 0 <= row["memory_bytes"] < 2**34
        assert row["processes"] >= 1


@pytest.mark.parametrize(
    ("overrides", "stages"),
    [([], [None, 0, 1, 2, 3]), (["engine=deepspeed", "engine.offload_optimizer=cpu"], [None, 1, 2, 3])],
)
def test_every_stage_is_measured_that_can_work(overrides: list[str], stages: list[int | None]) -> None:
    measured = engines(to_trial(compose(overrides)))
    assert [getattr(engine, "zero_stage", None) for engine in measured] == stages


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be divided equally"):
        bench_engines(to_trial(compose([*SMALL, "train.batch_size=7"])))
