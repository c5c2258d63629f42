"""Plain PyTorch: one process, or DistributedDataParallel over torchrun's environment variables."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from core.config import EngineConfig, OptimConfig, TrainConfig, setting
from core.engines import processes
from core.engines.accumulation import LossSum, parts
from core.engines.base import ENGINES
from core.engines.guard import Guard
from core.engines.optimisers import build_optimiser, set_weight_decay
from core.engines.state import State, check_names, load_optimiser, load_weights, optimiser_entries, trained, weights
from core.methods.base import Method, ViewBatch


@dataclass
class DDPEngineConfig(EngineConfig):
    """Settings of the plain engine."""

    name: str = setting("ddp", "engine")


@ENGINES.register("ddp", config=DDPEngineConfig, source="PyTorch DistributedDataParallel")
class DDPEngine:
    """One process, or DistributedDataParallel when WORLD_SIZE says that there are several."""

    def __init__(self, config: DDPEngineConfig, device: torch.device) -> None:
        self.world_size, self.rank = processes.world_size(), processes.rank()
        self.device = processes.join(device) if self.world_size > 1 else device
        self._guard = Guard(self.device)

    def prepare(self, method: Method, optim: OptimConfig, train: TrainConfig) -> None:
        """Take the method (moved to the device) and build its optimiser."""
        self._method = method.to(self.device)
        self._clip = optim.clip if optim.clip > 0 else float("inf")
        self._bf16, self._parts = train.precision == "bf16", train.micro_batches
        self._optimiser = build_optimiser(self._method, optim)
        self._module: nn.Module = self._method
        if self.world_size > 1:
            self._module = DistributedDataParallel(self._method, broadcast_buffers=False)

    def set_weight_decay(self, value: float) -> None:
        """From the next step on, the weight decay of the parameters that decay; not 0."""
        set_weight_decay(self._optimiser, value)

    def step(self, batch: ViewBatch, step: int, lr: float, generator: torch.Generator) -> dict[str, Tensor]:
        """One optimiser step; nothing here waits for the device."""
        total = LossSum()
        for number, (part, share) in enumerate(parts(batch, self._parts, generator), 1):
            with self._syncing(number == self._parts):
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
                    losses = self._module(part, step, generator)
                (losses["loss"] * share).backward()
            total.add(losses, share)
        norm = nn.utils.clip_grad_norm_(self._method.parameters(), self._clip)
        self._guard.note(torch.isfinite(total.losses["loss"]) & torch.isfinite(norm), step)
        for group in self._optimiser.param_groups:
            group["lr"] = lr
        self._guarded_update()
        self._optimiser.zero_grad(set_to_none=True)
        return {**total.losses, "gradient_norm": norm.detach()}

    def _syncing(self, last: bool) -> contextlib.AbstractContextManager[None]:
        """Gradients are averaged over the ranks once, in the backward pass of a batch's last part."""
        if isinstance(self._module, DistributedDataParallel) and not last:
            return self._module.no_sync()
        return contextlib.nullcontext()

    def _guarded_update(self) -> None:
        """Update unless a bad step has been seen, decided on the device."""
        bad = self._guard.bad()
        if isinstance(self._optimiser, torch.optim.AdamW):
            # The fused kernel reads this flag on the device, as it does for GradScaler.
            self._optimiser.found_inf = bad.float()  # type: ignore[attr-defined]
        else:
            for parameter in self._method.parameters():
                if parameter.grad is not None:
                    parameter.grad.copy_(torch.where(bad, torch.zeros_like(parameter.grad), parameter.grad))
        self._optimiser.step()

    def first_bad_step(self) -> int:
        """The first step with a non-finite loss or gradient, or -1. Waits for the device."""
        return self._guard.first_bad_step()

    def weights(self) -> dict[str, Tensor]:
        """The trained weights; see `Engine`."""
        return weights(self._method)

    def state_dict(self) -> State:
        """Weights and optimiser state; see `Engine`."""
        return {"method": self.weights(), "optimiser": optimiser_entries(self._optimiser, trained(self._method))}

    def load_state_dict(self, state: State) -> None:
        """Put a state back, bit for bit; see `Engine`."""
        check_names(state, self._method.state_dict())
        load_weights(self._method, state.get("method", {}))
        load_optimiser(self._optimiser, trained(self._method), state.get("optimiser", {}))

    def wait(self) -> None:
        """Wait until every process has come here."""
        processes.wait()

    def close(self) -> None:
        """Leave the process group, if any."""
        processes.leave()
