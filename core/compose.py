"""From Hydra overrides to a typed config, and from a user's mistake to a message that names the nearest."""

from __future__ import annotations

from dataclasses import field as dataclass_field
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core.config import TrialConfig
from core.errors import ConfigError, did_you_mean

CONF = Path(__file__).parent / "conf"


def evaluation_config() -> type:
    """The `evaluation` node: what to run, and one sub-node for every registered evaluation."""
    from core.evaluation.base import EVALUATIONS
    from core.evaluation.config import EvaluationConfig

    extra = [(e.name, e.config, dataclass_field(default_factory=e.config)) for e in EVALUATIONS.entries()]
    return make_dataclass("EvaluationConfig", extra, bases=(EvaluationConfig,))


def register_all() -> None:
    """Fill Hydra's config store with the schema and with every component that has a file."""
    from core.data.pairings.base import PAIRINGS
    from core.data.readers.base import READERS
    from core.engines.base import ENGINES
    from core.methods.base import METHODS

    for registry in (READERS, PAIRINGS, METHODS, ENGINES):
        registry.discover()
    store = ConfigStore.instance()
    store.store(name="trial_schema", node=TrialConfig)
    store.store(group="evaluation", name="schema", node=evaluation_config())


def compose(overrides: list[str], primary: str = "trial") -> DictConfig:
    """Compose the primary config with Hydra overrides.

    Raises ConfigError for an override that does not parse, an unknown key, option or type; the message
    names the override at fault and the nearest right ones.
    """
    register_all()
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        try:
            return hydra_compose(primary, overrides=list(overrides))
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(overrides, primary, error) from error


def explain(overrides: list[str], primary: str, error: Exception) -> ConfigError:
    """The message for a composition that failed: finds the override at fault and what is near it."""
    groups: dict[str, list[str]] = {}
    loader = GlobalHydra.instance().config_loader()
    for group in loader.list_groups(""):
        groups[group] = [o for o in loader.get_group_options(group) if o != "schema"]
    kept: list[str] = []
    for override in overrides:
        try:
            hydra_compose(primary, overrides=[*kept, override])
            kept.append(override)
        except (HydraException, OmegaConfBaseException) as found:
            return _explain_one(override, groups, hydra_compose(primary, overrides=kept), found)
    return ConfigError(str(error).split("\n")[0])


def _explain_one(override: str, groups: dict[str, list[str]], composed: DictConfig, error: Exception) -> ConfigError:
    if "=" not in override:
        return ConfigError(f"{override!r} is not an override", "write key=value, such as seed=1")
    key, value = override.lstrip("+~").split("=", 1)
    known = _keys(OmegaConf.to_container(composed))
    if key in groups and value not in groups[key]:
        return ConfigError(f"{override}: {key} has no option {value!r}", did_you_mean(value, groups[key]))
    if key not in known and key not in groups:
        return ConfigError(f"{override}: there is no key {key!r}", did_you_mean(key, [*known, *groups]))
    cause = str(error.__cause__ or error).split("\n")[0]
    return ConfigError(f"{override}: {cause}", f"it is {OmegaConf.select(composed, key)!r} by default")


def _keys(node: Any, prefix: str = "") -> list[str]:
    if not isinstance(node, dict):
        return []
    found = []
    for name, child in node.items():
        found += [prefix + str(name), *_keys(child, f"{prefix}{name}.")]
    return found


def to_trial(config: DictConfig) -> TrialConfig:
    """The typed object of a composed trial config; raises ConfigError for a value that cannot work."""
    try:
        trial = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).split("\n")[0]) from error
    assert isinstance(trial, TrialConfig)
    return trial


def trial_from_dict(saved: dict[str, Any]) -> TrialConfig:
    """The typed object of a trial config that was saved as plain JSON (a trial's config.json)."""
    overrides = [f"{group}={saved[group]['name']}" for group in ("data", "pairing", "method", "engine")]
    composed = compose(overrides)
    OmegaConf.set_struct(composed, True)
    try:
        return to_trial(OmegaConf.merge(composed, saved))  # type: ignore[arg-type]
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"saved config: {str(error).splitlines()[0]}", "it was written by another version of viewpair"
        ) from error


def trial_to_dict(trial: TrialConfig) -> dict[str, Any]:
    """Plain containers of a trial config, ready for JSON."""
    plain = OmegaConf.to_container(OmegaConf.structured(trial))
    assert isinstance(plain, dict)
    return {str(k): v for k, v in plain.items()}
