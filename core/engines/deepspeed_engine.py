"""DeepSpeed's ZeRO (Rajbhandari et al. 2020): optimiser state, gradients and weights sharded over the processes.

It takes the same step as engine=ddp: the same arithmetic (fp32 weights, torch.autocast for bf16), the same AdamW
kernel, clipping, guard against non-finite steps and parts of a batch. What is left is the order in which numbers are
added: fp32 losses of tens of steps agree to 1e-4 (tests; about 1e-6 at first). The one setting that changes the
arithmetic is `weights=bf16`, DeepSpeed's own mode: weights and their gradients are bf16, with an fp32 copy in the
optimiser. It saves memory and traffic, starts from rounded weights, and losses then agree to about 1e-3 a step.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import warnings
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from core import distributed
from core.config import EngineConfig, OptimConfig, TrainConfig, TrialConfig, setting
from core.engines import processes
from core.engines.accumulation import LossSum, parts
from core.engines.base import ENGINES
from core.engines.guard import Guard
from core.engines.optimisers import build_optimiser, parameter_groups, set_weight_decay
from core.engines.state import State, check_names, load_optimiser, load_weights, optimiser_entries, trained, weights
from core.engines.zero_state import load_sharded_entries, load_sharded_weights, sharded_entries, sharded_weights
from core.errors import ConfigError, check_choice, check_range, require
from core.methods.base import Method, ViewBatch

# fp32 weights and gradients and Adam's two moments, bytes a parameter (Rajbhandari et al. 2020, section 3.1).
STATE_BYTES = 16


@dataclass
class DeepSpeedEngineConfig(EngineConfig):
    """Settings of DeepSpeed's ZeRO."""

    name: str = setting("deepspeed", "engine")
    zero_stage: int = setting(
        2, "sharded over the processes: 0 nothing | 1 optimiser state | 2 + gradients | 3 + weights"
    )
    offload_optimizer: str = setting("none", "where optimiser state lives and is updated: none (on the device) | cpu")
    adam: str = setting("fused", "AdamW kernel: fused (torch's, as in ddp) | cpu (DeepSpeed's, compiled at first use)")
    weights: str = setting("fp32", "that the forward pass reads: fp32 (as in ddp) | bf16 (fp32 copy in the optimiser)")
    persist_below: int = setting(100_000, "ZeRO 3 leaves parameters of fewer elements whole on every process")

    def __post_init__(self) -> None:
        check_range("engine.zero_stage", self.zero_stage, 0, 3)
        check_choice("engine.offload_optimizer", self.offload_optimizer, ("none", "cpu"))
        check_choice("engine.adam", self.adam, ("fused", "cpu"))
        check_choice("engine.weights", self.weights, ("fp32", "bf16"))
        check_range("engine.persist_below", self.persist_below, 0, 1e12)
        require(
            self.zero_stage > 0 or self.offload_optimizer == "none",
            "engine.offload_optimizer=cpu needs ZeRO, and engine.zero_stage=0 is none",
            "use engine.zero_stage=1, 2 or 3",
        )
        require(
            self.zero_stage > 0 or self.weights == "fp32",
            "engine.weights=bf16 keeps an fp32 copy in a ZeRO optimiser, and engine.zero_stage=0 has none",
            "use engine.zero_stage=1, 2 or 3, or engine.weights=fp32",
        )
        require(
            self.adam == "fused" or self.offload_optimizer == "cpu",
            "engine.adam=cpu updates weights in the host's memory",
            "use engine.offload_optimizer=cpu, or engine.adam=fused",
        )

    def check_trial(self, trial: TrialConfig) -> None:
        """ZeRO cuts weights into flat shards, which an optimiser that looks at whole layers cannot work on."""
        require(
            trial.optim.name == "adamw",
            f"engine=deepspeed cannot run optim={trial.optim.name}, which scales each layer by its own norm",
            "use engine=ddp, or optim.name=adamw",
        )
        require(
            self.weights == "fp32" or trial.train.precision == "bf16",
            "engine.weights=bf16 contradicts train.precision=fp32",
            "use train.precision=bf16, or engine.weights=fp32",
        )


def import_deepspeed(device: torch.device) -> Any:
    """The package, quiet. Raises ConfigError with the line that installs it where it is absent."""
    if importlib.util.find_spec("deepspeed") is None:
        raise ConfigError(
            "engine=deepspeed needs the package deepspeed, which is not installed",
            "pip install -c constraints.txt -e '.[deepspeed]', or use engine=ddp",
        )
    if device.type == "cpu":
        os.environ["DS_ACCELERATOR"] = "cpu"
    deepspeed = importlib.import_module("deepspeed")
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning)
    # On the CPU it would compile a kernel of its own for half a minute that is no faster than gloo.
    importlib.import_module("deepspeed.ops").__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


class LossOnly(nn.Module):
    """What DeepSpeed wraps: the method under our own autocast (its engine switches off one from outside).

    forward returns the loss alone; all named losses, detached, are left in `losses`.
    """

    def __init__(self, method: Method, device: torch.device, bf16: bool) -> None:
        super().__init__()
        self.method, self._device_type, self._bf16 = method, device.type, bf16
        self.losses: dict[str, Tensor] = {}

    def forward(self, batch: ViewBatch, step: int, generator: torch.Generator) -> Tensor:
        """The scalar to minimise."""
        with torch.autocast(self._device_type, torch.bfloat16, enabled=self._bf16):
            losses: dict[str, Tensor] = self.method(batch, step, generator)
        self.losses = {name: value.detach() for name, value in losses.items()}
        return losses["loss"]


def cpu_adam(module: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """DeepSpeed's AdamW for the host, which heeds `found_inf` as torch's fused kernel does."""
    base: Any = importlib.import_module("deepspeed.ops.adam").DeepSpeedCPUAdam

    class GuardedCPUAdam(base):  # type: ignore[misc]
        found_inf = torch.zeros(())

        def step(self, closure: Any = None) -> Any:
            return None if bool(self.found_inf) else super().step(closure)

    built: torch.optim.Optimizer = GuardedCPUAdam(
        parameter_groups(module, config), lr=config.base_lr, betas=tuple(config.betas), adamw_mode=True
    )
    return built


def zero_settings(config: DeepSpeedEngineConfig, clip: float, micro_batches: int) -> dict[str, Any]:
    """DeepSpeed's own configuration. Stage 0 has no ZeRO optimiser, and its gradients are clipped here."""
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": micro_batches,
        "gradient_clipping": clip if config.zero_stage > 0 else 0.0,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": config.weights == "bf16"},
        "zero_optimization": {
            "stage": config.zero_stage,
            "offload_optimizer": {"device": config.offload_optimizer},
            "stage3_param_persistence_threshold": config.persist_below,
        },
    }


def memory_per_process(device: torch.device) -> int:
    """Bytes of memory that one process may use: its GPU's, or its share of the host's."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(psutil.virtual_memory().total) // processes.local_world_size()


def price_note(parameters: int, memory: int) -> str:
    """A line for the user whose model would fit without ZeRO, with half of the memory left; else ""."""
    state = STATE_BYTES * parameters
    if 2 * state > memory:
        return ""
    return (
        f"note: engine=deepspeed shards a training state of {state / 2**20:,.0f} MiB, and each process has "
        f"{memory / 2**20:,.0f} MiB: it fits whole, and engine=ddp is faster (viewpair bench engines says how much)"
    )


@ENGINES.register("deepspeed", config=DeepSpeedEngineConfig, source="Rajbhandari et al. 2020, arXiv 1910.02054")
class DeepSpeedEngine:
    """DeepSpeed ZeRO 0 to 3, for models whose training state does not fit one device."""

    def __init__(self, config: DeepSpeedEngineConfig, device: torch.device) -> None:
        self._deepspeed = import_deepspeed(device)
        self.config = config
        self.world_size, self.rank = processes.world_size(), processes.rank()
        os.environ.setdefault("LOCAL_RANK", "0")
        self.device = processes.join(device)
        self._deepspeed.init_distributed()
        self._guard = Guard(self.device)

    def prepare(self, method: Method, optim: OptimConfig, train: TrainConfig) -> None:
        """Take the method, build its optimiser and shard both."""
        note = price_note(sum(p.numel() for p in method.parameters()), memory_per_process(self.device))
        if note and self.rank == 0:
            print(note, file=sys.stderr)
        self._method, self._parts = method, train.micro_batches
        self._clip = optim.clip if optim.clip > 0 else float("inf")
        self._module = LossOnly(method, self.device, train.precision == "bf16")
        build = build_optimiser if self.config.adam == "fused" else cpu_adam
        self._adam: Any = build(self._module, optim)
        self._engine: Any = self._deepspeed.initialize(
            model=self._module, optimizer=self._adam, config=zero_settings(self.config, optim.clip, self._parts)
        )[0]

    def set_weight_decay(self, value: float) -> None:
        """From the next step on, the weight decay of the parameters that decay; not 0."""
        set_weight_decay(self._adam, value)

    def step(self, batch: ViewBatch, step: int, lr: float, generator: torch.Generator) -> dict[str, Tensor]:
        """One optimiser step; ZeRO 1-3 wait for the device once, to learn the gradient norm."""
        for group in self._adam.param_groups:
            group["lr"] = lr
        total = LossSum()
        for number, (part, share) in enumerate(parts(batch, self._parts, generator), 1):
            loss = self._engine(part, step, generator)
            total.add(self._module.losses, share)
            self._engine.backward(loss * share, scale_wrt_gas=False)
            if number < self._parts:
                self._engine.step()
        update = self._update_whole if self.config.zero_stage == 0 else self._update_shards
        return {**total.losses, "gradient_norm": update(total.losses["loss"], step)}

    def _update_whole(self, loss: Tensor, step: int) -> Tensor:
        """Clip and update whole parameters, as engine=ddp does."""
        norm = nn.utils.clip_grad_norm_(self._method.parameters(), self._clip)
        self._guard.note(torch.isfinite(loss) & torch.isfinite(norm), step)
        self._adam.found_inf = self._guard.bad().float()
        self._engine.step()
        return norm.detach()

    def _update_shards(self, loss: Tensor, step: int) -> Tensor:
        """Let ZeRO clip and update; it passes over a step whose gradient is not finite.

        Whether the loss is finite must be one answer for all ranks: each updates a part of the same weights.
        """
        self._guard.note(torch.isfinite(distributed.sum_over_ranks(loss)), step)
        bad = self._guard.bad().float()
        self._adam.found_inf = bad if self.config.offload_optimizer == "none" else bad.cpu()
        self._engine.step()
        norm = torch.as_tensor(self._engine.get_global_grad_norm(), dtype=torch.float32, device=self.device)
        self._guard.note(torch.isfinite(norm), step)
        return norm

    def first_bad_step(self) -> int:
        """The first step with a non-finite loss or gradient, or -1. Waits for the device."""
        return self._guard.first_bad_step()

    def weights(self) -> dict[str, Tensor]:
        """The trained weights, consolidated one parameter at a time; see `Engine`."""
        return weights(self._method) if self.config.zero_stage == 0 else sharded_weights(self._method)

    def state_dict(self) -> State:
        """Weights and optimiser state; see `Engine`."""
        if self.config.zero_stage == 0:
            entries = optimiser_entries(self._adam, trained(self._method))
        else:
            entries = sharded_entries(self._method, self._engine.optimizer)
        return {"method": self.weights(), "optimiser": entries}

    def load_state_dict(self, state: State) -> None:
        """Put a state back; see `Engine`."""
        check_names(state, self._method.state_dict())
        method, optimiser = state.get("method", {}), state.get("optimiser", {})
        if self.config.zero_stage == 0:
            load_weights(self._method, method)
            load_optimiser(self._adam, trained(self._method), optimiser)
        else:
            load_sharded_weights(self._method, method)
            load_sharded_entries(self._method, self._engine.optimizer, optimiser)

    def wait(self) -> None:
        """Wait until every process has come here."""
        processes.wait()

    def close(self) -> None:
        """Give DeepSpeed's buffers back and leave the process group."""
        if hasattr(self, "_engine"):
            self._engine.destroy()
        self._deepspeed.comm.destroy_process_group()
