"""The config of a sweep: that of a trial, and which ablations to run on which launcher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig

from core.compose import to_trial
from core.config import TrialConfig, setting


@dataclass
class SweepConfig(TrialConfig):
    """A sweep. Its trial settings are put on every cell; a cell's own settings win over them."""

    ablation: Any = setting(None, "name of a file in ablations/, a list [a,b], or all")
    seeds: list[int] = setting([], "seeds of every cell; empty = those of the ablation's file")
    launcher: Any = setting(None, "where trials run (group)")


def register() -> None:
    """Fill Hydra's config store with the sweep's schema and with every launcher."""
    from sweeps.launchers.base import LAUNCHERS

    LAUNCHERS.discover()
    ConfigStore.instance().store(name="sweep_schema", node=SweepConfig)


def to_sweep(config: DictConfig) -> SweepConfig:
    """The typed object of a composed sweep config; raises ConfigError for a value that cannot work."""
    sweep = to_trial(config)
    assert isinstance(sweep, SweepConfig)
    return sweep
