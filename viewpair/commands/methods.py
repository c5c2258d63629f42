"""viewpair methods: every method with one line, its source and its settings."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

if TYPE_CHECKING:
    from core.registry import Entry

LINE = "list every method with one line, its source and its settings"
PRIMARY = "trial"
EXAMPLES = ("methods", "methods --brief")
WIDTH = 44


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this verb."""
    parser.add_argument("--brief", action="store_true", help="leave the settings out")


def run(_config: DictConfig, arguments: argparse.Namespace) -> int:
    """Print a paragraph for each method, from the registry."""
    from core.methods.base import METHODS

    for entry in METHODS.entries():
        print("\n".join([*heading(entry), *([] if arguments.brief else settings(entry)), ""]))
    return 0


def heading(entry: Entry[Any]) -> list[str]:
    """Name and line of a method; its source, and what it brings along unless one says otherwise."""
    brings = " ".join(f"{group}={option}" for group, option in entry.overrides.items())
    return [f"{entry.name}: {entry.line}", f"  source: {entry.source}" + (f"; brings {brings}" if brings else "")]


def settings(entry: Entry[Any]) -> list[str]:
    """A line for each setting: how it is written with its default, and what it is."""
    from core.compose import override_text
    from viewpair.help import document_tree

    rows = [(override_text(f"method.{key}", value), line) for key, value, line in document_tree(entry.config())]
    return [f"  {text:<{WIDTH}} {line}" for text, line in rows if not text.startswith("method.name=")]
