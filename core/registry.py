"""Registries: a component exists because its file does. One decorator; nothing to edit elsewhere."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any, Generic, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf, open_dict

from core.errors import ConfigError, did_you_mean

T = TypeVar("T")


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One registered component: its name, what builds it, its config dataclass, one line, its source.

    overrides: options of other groups that come with it, such as {"pairing": "none"}.
    """

    name: str
    build: T
    config: type
    line: str
    source: str
    overrides: Mapping[str, str]


class Registry(Generic[T]):
    """Components of one kind, found by importing every module of `package`.

    `group` is the Hydra group in which each component's config dataclass becomes an option.
    """

    def __init__(self, group: str, package: str) -> None:
        self.group, self.package = group, package
        self._entries: dict[str, Entry[T]] = {}
        self._discovered = False

    def register(
        self, name: str, config: type, source: str = "ours", overrides: Mapping[str, str] | None = None
    ) -> Callable[[T], T]:
        """Decorator that registers a class or function under `name`.

        config: its dataclass, with a default for every field and a field `name` whose default is `name`.
        source: paper, section, equation. overrides: options of other groups that come with this one
        unless the user names another, such as {"pairing": "none"}.
        """
        if not is_dataclass(config):
            raise TypeError(f"{self.group} {name}: config must be a dataclass")
        if name in self._entries:
            raise ValueError(f"{self.group} {name} is registered twice")

        def add(build: T) -> T:
            line = (build.__doc__ or "").strip().split("\n")[0]
            self._entries[name] = Entry(name, build, config, line, source, dict(overrides or {}))
            node = OmegaConf.structured(config)
            if overrides:
                with open_dict(node):
                    node["defaults"] = [{f"override /{k}@_global_.{k}": v} for k, v in overrides.items()] + ["_self_"]
            ConfigStore.instance().store(group=self.group, name=name, node=node)
            return build

        return add

    def discover(self) -> None:
        """Import every module of the package, so that each registers itself."""
        if self._discovered:
            return
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        self._discovered = True

    def names(self) -> list[str]:
        """All registered names, sorted."""
        self.discover()
        return sorted(self._entries)

    def entries(self) -> list[Entry[T]]:
        """All entries, sorted by name."""
        return [self._entries[name] for name in self.names()]

    def get(self, name: str) -> Entry[T]:
        """The entry called `name`. Raises ConfigError that names the nearest ones."""
        self.discover()
        if name not in self._entries:
            raise ConfigError(f"{self.group}={name} does not exist", did_you_mean(name, self._entries))
        return self._entries[name]

    def build(self, config: Any, *args: Any, **kwargs: Any) -> Any:
        """Build the component that `config.name` names: `build(config, *args, **kwargs)`."""
        entry: Any = self.get(config.name)
        return entry.build(config, *args, **kwargs)
