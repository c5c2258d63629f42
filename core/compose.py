"""From Hydra overrides to a typed config, and from a user's mistake to a message that names the nearest."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from dataclasses import asdict, make_dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core.config import TrialConfig
from core.errors import ConfigError, did_you_mean, nearest

CONF = Path(__file__).parent / "conf"
HIDDEN_GROUPS = ("evaluation", "evaluation_config", "hydra")
COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException)


@functools.cache
def evaluation_config() -> type:
    """The `evaluation` node: what to run, and one sub-node for every registered evaluation."""
    from core.evaluation.base import EVALUATIONS
    from core.evaluation.config import EvaluationConfig

    extra = [(e.name, e.config, dataclass_field(default_factory=e.config)) for e in EVALUATIONS.entries()]
    return make_dataclass("EvaluationConfig", extra, bases=(EvaluationConfig,))


@functools.cache
def register_all() -> None:
    """Fill Hydra's config store with the schema and with every component that has a file."""
    from core.curation.base import CURATIONS
    from core.data.batches.base import BATCHES
    from core.data.pairings.base import PAIRINGS
    from core.data.readers.base import READERS
    from core.engines.base import ENGINES
    from core.measures.base import MEASURES
    from core.methods.base import METHODS

    for registry in (READERS, CURATIONS, BATCHES, PAIRINGS, METHODS, ENGINES, MEASURES):
        registry.discover()
    store = ConfigStore.instance()
    store.store(name="trial_schema", node=TrialConfig)
    store.store(group="evaluation", name="schema", node=evaluation_config())


def start_hydra() -> None:
    """Point Hydra at core/conf, once a process (starting it anew costs as much as a composition)."""
    register_all()
    if not GlobalHydra.instance().is_initialized():
        initialize_config_dir(version_base="1.3", config_dir=str(CONF))


def compose(overrides: list[str], primary: str = "trial") -> DictConfig:
    """Compose the primary config with Hydra overrides.

    Raises ConfigError for an override that does not parse, an unknown key, option or type; the message
    names the override at fault and the nearest right ones.
    """
    start_hydra()
    try:
        return _compose(overrides, primary)
    except COMPOSITION_ERRORS as error:
        raise explain(overrides, primary, error) from error


def compose_alone(overrides: list[str], schema: type) -> DictConfig:
    """A config of the dataclass `schema` alone, without groups, with Hydra overrides: no component is imported.

    Raises ConfigError like `compose`.
    """
    config = OmegaConf.structured(schema)
    for line in overrides:
        try:
            (override,) = OverridesParser.create().parse_overrides([line])
            _check_plain(override, [])
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        except COMPOSITION_ERRORS as error:
            raise _explain_one(line, {}, config, error) from error
    return config


def _compose(overrides: list[str], primary: str) -> DictConfig:
    parsed = OverridesParser.create().parse_overrides(overrides)
    groups = group_names()
    for override in parsed:
        _check_plain(override, groups)
    chosen = tuple(o.input_line or "" for o in parsed if o.key_or_group in groups)
    config = copy.deepcopy(_compose_groups(chosen, primary))
    for override in parsed:
        if override.key_or_group not in groups:
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
    return config


def _check_plain(override: Override, groups: list[str]) -> None:
    """Refuse what is not `key=value`: a typed config has no keys to add or to delete."""
    line, key = override.input_line or "", override.key_or_group
    value = line.partition("=")[2]
    if override.is_delete():
        raise ConfigError(f"{line}: keys cannot be deleted", "leave it out")
    if override.is_add() or override.is_force_add():
        raise ConfigError(f"{line}: keys cannot be added", f"write {key}={value}, if there is such a key")
    if override.is_hydra_override() or override.package:
        raise ConfigError(f"{line}: settings of Hydra itself have no effect here", "leave it out")
    if override.is_sweep_override():
        hint = "choose one" if key in groups else f"a list is written {key}=[{value}]"
        raise ConfigError(f"{line} gives several values", hint)
    if key in groups and not isinstance(override.value(), str):
        raise ConfigError(f"{line}: {key} has no option {value!r}", "possible: " + ", ".join(options()[key]))


@functools.cache
def _compose_groups(chosen: tuple[str, ...], primary: str) -> DictConfig:
    # a composition costs 0.1 s: the cells of an ablation share theirs, and set single values afterwards
    config = hydra_compose(primary, overrides=list(chosen))
    _open_mappings(config)
    return config


def _open_mappings(config: DictConfig) -> None:
    """Let overrides add entries to settings of type dict[str, Any] (the members of `data=pool`)."""
    for name in config:
        node = config._get_node(name)
        if isinstance(node, DictConfig) and not node._is_none():
            if node._metadata.object_type is dict and node._metadata.element_type is Any:
                OmegaConf.set_struct(node, False)
            _open_mappings(node)


def group_names() -> list[str]:
    """Names of all config groups that are registered by now."""
    start_hydra()
    return sorted({*_stored_groups(), *(path.name for path in CONF.iterdir() if path.is_dir())})


def options() -> dict[str, list[str]]:
    """Every config group a user may choose from, with its options."""
    files = {group: {path.stem for path in (CONF / group).glob("*.yaml")} for group in group_names()}
    stored = {group: {name.removesuffix(".yaml") for name in nodes} for group, nodes in _stored_groups().items()}
    return {g: sorted(files[g] | stored.get(g, set())) for g in files if g not in HIDDEN_GROUPS}


def _stored_groups() -> dict[str, dict[str, Any]]:
    # Hydra's loader tells the same, but copies its whole store first: a quarter of a composition.
    return {name: node for name, node in ConfigStore.instance().repo.items() if isinstance(node, dict)}


def override_text(key: str, value: Any) -> str:
    """`key=value` in Hydra's grammar, for a bool, number, text, None, or a list or dict of these."""
    return f"{key}={_value_text(value)}"


def _value_text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ",".join(_value_text(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_value_text(v)}" for key, v in value.items()) + "}"
    if isinstance(value, str) and not value.replace("_", "").replace(".", "").isalnum():
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return str(value)


def explain(overrides: list[str], primary: str, error: Exception) -> ConfigError:
    """The message for a composition that failed: finds the override at fault and what is near it."""
    groups = options()
    kept: list[str] = []
    for override in sorted(overrides, key=lambda o: _split(o)[0] not in groups):
        try:
            _compose([*kept, override], primary)
            kept.append(override)
        except COMPOSITION_ERRORS as found:
            return _explain_one(override, groups, _compose(kept, primary), found)
    return ConfigError(_first_line(error))


def _split(override: str) -> tuple[str, str]:
    key, _, value = override.lstrip("+~").partition("=")
    return key, value


def _first_line(error: BaseException) -> str:
    return str(error.__cause__ or error).split("\n")[0]


def _explain_one(override: str, groups: dict[str, list[str]], composed: DictConfig, error: Exception) -> ConfigError:
    key, value = _split(override)
    known = list(known_keys(OmegaConf.to_container(composed)))
    if "=" not in override:
        near = did_you_mean(override, [*known, *groups]) if override.isidentifier() else ""
        return ConfigError(f"{override!r} is not an override", f"write key=value, such as seed=1; {near}".rstrip("; "))
    if key in groups and value not in groups[key]:
        return ConfigError(f"{override}: {key} has no option {value!r}", did_you_mean(value, groups[key]))
    if key not in known and key not in groups:
        return ConfigError(f"{override}: there is no key {key!r}", nearest_key(key, known, groups))
    cause, default = _first_line(error), OmegaConf.select(composed, key)
    if isinstance(default, DictConfig):
        return ConfigError(f"{override}: {cause}", did_you_mean(key, [k for k in known if k.startswith(f"{key}.")]))
    return ConfigError(f"{override}: {cause}", f"{override_text(key, _plain(default))} is right, for instance")


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value) if isinstance(value, ListConfig) else value


def nearest_key(key: str, known: list[str], groups: dict[str, list[str]]) -> str:
    """The hint for a key that does not exist: near keys, those inside the same node first."""
    parent, _, leaf = key.rpartition(".")
    inside = [k.rpartition(".")[2] for k in known if parent and k.rpartition(".")[0] == parent]
    if near := nearest(leaf, inside):
        return "did you mean " + " or ".join(f"{parent}.{name}" for name in near) + "?"
    same_name = [k for k in known if k.rpartition(".")[2] == leaf]
    return did_you_mean(key, same_name or inside or [*known, *groups])


def known_keys(node: Any, prefix: str = "") -> Iterator[str]:
    """Every dotted key of nested plain dicts, inner nodes included."""
    if isinstance(node, dict):
        for name, child in node.items():
            yield f"{prefix}{name}"
            yield from known_keys(child, f"{prefix}{name}.")


def to_object(config: DictConfig) -> Any:
    """The typed object of a composed config; raises ConfigError for a value that cannot work."""
    try:
        return OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).split("\n")[0]) from error


def to_trial(config: DictConfig) -> TrialConfig:
    """The typed object of a composed trial config; raises ConfigError for a value that cannot work."""
    trial = to_object(config)
    assert isinstance(trial, TrialConfig)
    return trial


def trial_from_dict(saved: dict[str, Any]) -> TrialConfig:
    """The typed object of a trial config that was saved as plain JSON (a trial's config.json).

    Raises ConfigError that names the first key which this version does not have.
    """
    groups = ("data", "curation", "batches", "pairing", "method", "engine", "measure")
    # A trial of before there was such a group has none of it; the default is what it was.
    composed = compose([f"{group}={saved[group]['name']}" for group in groups if saved.get(group)])
    OmegaConf.set_struct(composed, True)
    try:
        return to_trial(OmegaConf.merge(composed, saved))  # type: ignore[arg-type]
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"saved config: {str(error).splitlines()[0]}", "it was written by another version of viewpair"
        ) from error


def trial_to_dict(trial: TrialConfig) -> dict[str, Any]:
    """Plain containers of a trial config, ready for JSON."""
    return asdict(trial)
