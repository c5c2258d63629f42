"""The decoder benchmark: what it counts is exact. Times are not judged."""

from __future__ import annotations

import pytest

from core.bench.decoder import SETTINGS, bench_decoder
from core.compose import compose, to_trial
from core.errors import ConfigError
from tests.core.bench.test_bench_engines import SMALL


def test_rows_of_the_table() -> None:
    rows = bench_decoder(to_trial(compose([*SMALL, "data.size=64", "train.batch_size=2"])), repeats=1)
    assert [(row["decoder"], row["predict_ratio"]) for row in rows] == list(SETTINGS)
    assert rows[0]["flops_of_self"] == rows[0]["time_of_self"] == 1.0
    by = {(row["decoder"], row["predict_ratio"]): row for row in rows}
    assert by["cross", 0.1]["decoder_gflops"] < by["cross", 0.33]["decoder_gflops"] < by["cross", 1.0]["decoder_gflops"]
    for row in rows:
        assert row["ms_per_step"] > 0
        encoder = row["decoder_gflops"] * (1 / row["decoder_share"] - 1)
        assert row["flops_of_self"] == pytest.approx(
            (encoder + row["decoder_gflops"]) / (encoder + rows[0]["decoder_gflops"])
        )


def test_a_method_without_a_decoder_is_refused() -> None:
    with pytest.raises(ConfigError, match="bench decoder times masked autoencoders, and method=vicreg is none"):
        bench_decoder(to_trial(compose([*SMALL, "method=vicreg"])))
