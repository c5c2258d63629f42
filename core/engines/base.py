"""What an engine is: it owns the method, the optimiser and the processes, and runs one optimiser step."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from core.config import OptimConfig, TrainConfig
from core.methods.base import Method, ViewBatch
from core.registry import Registry


class Engine(Protocol):
    """Built from its config and the device; methods do not know which engine runs them."""

    device: torch.device
    rank: int
    world_size: int

    def prepare(self, method: Method, optim: OptimConfig, train: TrainConfig) -> None:
        """Take the method (moved to the device) and build its optimiser."""

    def step(self, batch: ViewBatch, step: int, lr: float, generator: torch.Generator) -> dict[str, Tensor]:
        """Forward, backward, clip, update. Returns detached scalar losses on the device, unsynchronised.

        From the first step whose loss or gradient is not finite on, nothing is updated any more.
        """

    def first_bad_step(self) -> int:
        """The first step with a non-finite loss or gradient, or -1. Waits for the device."""

    def state_dict(self) -> dict[str, Any]:
        """Weights and optimiser state, free of the world size."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put a state back, bit for bit."""

    def method(self) -> Method:
        """The bare method with its trained weights."""

    def wait(self) -> None:
        """Wait until every process has come here."""

    def close(self) -> None:
        """Leave the process group, if any."""


ENGINES: Registry[type[Any]] = Registry("engine", "core.engines")
