"""What an engine is: it owns the model, the optimiser and the processes, and runs one optimiser step."""

from __future__ import annotations

from typing import Any, Protocol

from core.registry import Registry


class Engine(Protocol):
    """Filled in beside the trainer."""


ENGINES: Registry[type[Any]] = Registry("engine", "core.engines")
