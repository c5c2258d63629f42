"""Plain PyTorch: one process, or DistributedDataParallel over torchrun's environment variables."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from core.config import EngineConfig, OptimConfig, TrainConfig, setting
from core.engines.base import ENGINES
from core.engines.optimisers import build_optimiser
from core.methods.base import Method, ViewBatch


@dataclass
class TorchEngineConfig(EngineConfig):
    """Settings of the plain engine."""

    name: str = setting("torch", "engine")


@ENGINES.register("torch", config=TorchEngineConfig, source="PyTorch DistributedDataParallel")
class TorchEngine:
    """One process, or DDP when WORLD_SIZE says that there are several."""

    def __init__(self, config: TorchEngineConfig, device: torch.device) -> None:
        self.world_size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self.device = device
        if self.world_size > 1 and not dist.is_initialized():
            if device.type == "cuda":
                self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
                torch.cuda.set_device(self.device)
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        self._first_bad = torch.full((), -1, dtype=torch.int64, device=self.device)

    def prepare(self, method: Method, optim: OptimConfig, train: TrainConfig) -> None:
        """Take the method (moved to the device) and build its optimiser."""
        self._method = method.to(self.device)
        self._clip = optim.clip if optim.clip > 0 else float("inf")
        self._bf16 = train.precision == "bf16"
        self._optimiser = build_optimiser(self._method, optim)
        self._module: nn.Module = self._method
        if self.world_size > 1:
            self._module = DistributedDataParallel(self._method, broadcast_buffers=False)

    def step(self, batch: ViewBatch, step: int, lr: float, generator: torch.Generator) -> dict[str, Tensor]:
        """One optimiser step; nothing here waits for the device."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            losses = self._module(batch, step, generator)
        losses["loss"].backward()
        norm = nn.utils.clip_grad_norm_(self._method.parameters(), self._clip)
        self._note_bad(torch.isfinite(losses["loss"].detach()) & torch.isfinite(norm), step)
        for group in self._optimiser.param_groups:
            group["lr"] = lr
        self._guarded_update()
        self._optimiser.zero_grad(set_to_none=True)
        return {**{name: value.detach() for name, value in losses.items()}, "gradient_norm": norm.detach()}

    def _note_bad(self, fine: Tensor, step: int) -> None:
        first = (self._first_bad < 0) & ~fine
        self._first_bad = torch.where(first, torch.full_like(self._first_bad, step), self._first_bad)

    def _guarded_update(self) -> None:
        """Update unless a bad step has been seen, decided on the device."""
        bad = self._first_bad >= 0
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
        return int(self._first_bad.item())

    def state_dict(self) -> dict[str, Any]:
        """Weights and optimiser state, free of the world size."""
        return {"method": self._method.state_dict(), "optimiser": self._optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put a state back, bit for bit."""
        self._method.load_state_dict(state["method"])
        self._optimiser.load_state_dict(state["optimiser"])

    def method(self) -> Method:
        """The bare method with its trained weights."""
        return self._method

    def wait(self) -> None:
        """Wait until every process has come here."""
        if dist.is_initialized():
            dist.barrier()

    def close(self) -> None:
        """Leave the process group, if any."""
        if dist.is_initialized():
            dist.destroy_process_group()
