"""The text of `viewpair VERB --help`: usage, examples, groups with their options, every key with its line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from viewpair.cli import Command


def describe(verb: str, command: Command, arguments: argparse.Namespace) -> str:
    """Help of one verb. Keys are those of the config as the given overrides compose it."""
    from core.compose import options, to_object
    from viewpair.cli import RESULTS, configure

    config = to_object(configure(command, arguments.overrides))
    groups = {} if command.PRIMARY == RESULTS else options()
    actions: dict[str, str] = getattr(command, "ACTIONS", {})
    words = f"{verb} [{' | '.join(actions)}]" if actions else verb
    parts = [f"usage: viewpair {words} [flags] [key=value ...]", "", command.LINE, ""]
    parts += _section("actions (the first unless you name another)", [f"{a:<10} {line}" for a, line in actions.items()])
    parts += _section("examples", [f"viewpair {line}" for line in getattr(command, "EXAMPLES", ())])
    parts += _section("flags", _flags(arguments.parser))
    parts += _section("groups (group=option)", [f"{g:<12} {' | '.join(names)}" for g, names in groups.items()])
    told = "keys (as composed; add overrides before --help to see another method's)" if groups else "keys"
    parts += _section(told, _rows(config))
    return "\n".join(parts)


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"{title}:", *(f"  {line}" for line in lines), ""] if lines else []


def _flags(parser: argparse.ArgumentParser) -> list[str]:
    found = [(", ".join(a.option_strings), a.help or "") for a in parser._actions if a.option_strings]
    return [f"{flags:<20} {line}" for flags, line in found]


def _rows(config: Any) -> list[str]:
    from core.compose import override_text

    rows = [(override_text(key, value), line) for key, value, line in document_tree(config)]
    width = min(44, max(len(key) for key, _ in rows))
    return [f"{key:<{width}}  {line}" for key, line in rows]


def document_tree(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """(dotted key, value, line) of every setting of a config object, its sub-configs included."""
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value):
            yield from document_tree(value, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, _by_name(value), str(item.metadata.get("line", ""))


def _by_name(value: Any) -> Any:
    """A list of components by their names, as one would write it; anything else as it is."""
    named = isinstance(value, list) and all(isinstance(part, dict) and "name" in part for part in value)
    return [part["name"] for part in value] if named else value
