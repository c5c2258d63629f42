"""engine=deepspeed without training: what it refuses, and what it says of a model that fits."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest
import torch

from core.config import TrialConfig
from core.engines.base import ENGINES
from core.engines.deepspeed_engine import price_note
from core.errors import ConfigError

GIB = 2**30


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("engine.zero_stage=4",), r"engine\.zero_stage=4 is outside"),
        (("engine.offload_optimizer=disk",), r"engine\.offload_optimizer=disk is not a choice"),
        (("engine.zero_stage=0", "engine.offload_optimizer=cpu"), "offload_optimizer=cpu needs ZeRO"),
        (("engine.zero_stage=0", "engine.weights=bf16", "train.precision=bf16"), "weights=bf16 keeps an fp32 copy"),
        (("engine.adam=cpu",), r"engine\.adam=cpu updates weights in the host's memory"),
        (("engine.weights=bf16", "train.precision=fp32"), "contradicts train.precision=fp32"),
        (("optim.name=lars",), "engine=deepspeed cannot run optim=lars"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(
    overrides: tuple[str, ...], message: str, trial: Callable[..., TrialConfig]
) -> None:
    with pytest.raises(ConfigError, match=message):
        trial("engine=deepspeed", *overrides)


def test_without_the_package_it_says_how_to_install_it(
    trial: Callable[..., TrialConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "deepspeed" else real(name))
    with pytest.raises(ConfigError, match="pip install"):
        ENGINES.build(trial("engine=deepspeed").engine, torch.device("cpu"))


def test_a_model_that_fits_is_told_what_to_use() -> None:
    # 16 bytes a parameter: 1e9 parameters are 16 GB.
    assert "engine=ddp is faster" in price_note(10**9, 80 * GIB)
    assert price_note(10**9, 24 * GIB) == ""
    assert price_note(10**10, 80 * GIB) == ""
