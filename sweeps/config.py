"""The config of a sweep: that of a trial, and which ablations to run on which launcher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from core.compose import override_text, to_trial
from core.config import PathsConfig, TrialConfig, setting
from core.errors import ConfigError, did_you_mean, require

PROFILES = Path(__file__).resolve().parents[1] / "slurm" / "profiles"


@dataclass
class SweepConfig(TrialConfig):
    """A sweep. Its trial settings are put on every cell; a cell's own settings win over them."""

    ablation: Any = setting(None, "name of a file in ablations/, a list [a,b], or all")
    seeds: list[int] = setting([], "seeds of every cell; empty = those of the ablation's file")
    launcher: Any = setting(None, "where trials run (group)")


@dataclass
class ResultsConfig:
    """What a verb is told that only looks at what sweeps left on the disk."""

    ablation: Any = setting(None, "name of a swept ablation, a list [a,b], or all; left out = all")
    paths: PathsConfig = field(default_factory=PathsConfig)


def results_words(ablations: Sequence[str], root: Path) -> str:
    """The words, as one types them, that tell a verb which results to look at."""
    named = ablations[0] if len(ablations) == 1 else f"[{','.join(ablations)}]"
    elsewhere = "" if str(root) == PathsConfig().root else " " + override_text("paths.root", str(root))
    return f"ablation={named}{elsewhere}"


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


def with_profile(overrides: Sequence[str]) -> list[str]:
    """The overrides with `launcher=<profile>` replaced by what slurm/profiles/<profile>.yaml says.

    The profile may be a path, too. Keys that are set beside it win. Raises ConfigError that names the file and the
    key for what cannot be read, and for a key that no launcher has.
    """
    known = {path.stem: path for path in PROFILES.glob("*.yaml")}
    result = []
    for override in overrides:
        key, _, value = override.partition("=")
        path = known.get(value) or (Path(value) if value.endswith(".yaml") else None)
        result += _profile(path) if key == "launcher" and path else [override]
    return result


def _profile(path: Path) -> list[str]:
    from sweeps.launchers.slurm import SlurmConfig

    try:
        saved = OmegaConf.to_container(OmegaConf.load(path))
    except FileNotFoundError as error:
        raise ConfigError(f"launcher={path} does not exist", f"profiles lie in {PROFILES}") from error
    except (YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    require(isinstance(saved, dict), f"{path} is no mapping of keys to values")
    assert isinstance(saved, dict)
    known = [item.name for item in fields(SlurmConfig) if item.name != "name"]
    for key in map(str, saved):
        if key not in known:
            raise ConfigError(f"{path}: there is no launcher key {key}", did_you_mean(key, known))
    return ["launcher=slurm", *(override_text("launcher." + str(key), value) for key, value in saved.items())]
