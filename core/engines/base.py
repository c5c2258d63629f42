"""What an engine is: it owns the method, the optimiser and the processes, and runs one optimiser step."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from core.config import OptimConfig, TrainConfig
from core.engines.state import State
from core.methods.base import Method, ViewBatch
from core.registry import Registry


class Engine(Protocol):
    """Built from its config and the device; methods do not know which engine runs them."""

    device: torch.device
    rank: int
    world_size: int

    def prepare(self, method: Method, optim: OptimConfig, train: TrainConfig) -> None:
        """Take the method (moved to the device) and build its optimiser."""

    def set_weight_decay(self, value: float) -> None:
        """From the next step on, the weight decay of the parameters that decay; not 0."""

    def step(self, batch: ViewBatch, step: int, lr: float, generator: torch.Generator) -> dict[str, Tensor]:
        """Forward, backward, clip, update, in `train.micro_batches` parts (core/engines/accumulation.py).

        Returns detached scalar losses and "gradient_norm" (before clipping) on the device, unsynchronised.
        From the first step whose loss or gradient is not finite on, nothing is updated any more.
        """

    def first_bad_step(self) -> int:
        """The first step with a non-finite loss or gradient, or -1. Waits for the device."""

    def weights(self) -> dict[str, Tensor]:
        """The method's whole state dict in fp32 on the CPU of rank 0, {} elsewhere. Every rank must call it."""

    def state_dict(self) -> State:
        """Weights and optimiser state, the same for every engine and world size (core/engines/state.py).

        On the CPU of rank 0, {} or empty parts elsewhere. Every rank must call it.
        """

    def load_state_dict(self, state: State) -> None:
        """Put back a state that any engine saved at any world size; bit for bit where both are the same.

        Rank 0 has it and other ranks give {}. Every rank must call it, before the first step.
        Raises CheckpointError when it is another method's, model's or version's.
        """

    def wait(self) -> None:
        """Wait until every process has come here."""

    def close(self) -> None:
        """Leave the process group, if any."""


ENGINES: Registry[type[Any]] = Registry("engine", "core.engines")
