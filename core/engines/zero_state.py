"""Whole weights and optimiser state of a model that DeepSpeed shards (ZeRO 1-3), one parameter at a time.

Every function is called by all ranks together; none ever holds more than one whole parameter on a device.
DeepSpeed's own checkpoints are tied to its world size, and its universal ones are not exact for stage 3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from core import distributed
from core.engines.state import Entries, layout, to_cpu, trained

MOMENTS = ("exp_avg", "exp_avg_sq")


def gathered(parameter: Tensor) -> Any:
    """A context in which a parameter is whole; what rank 0 changes in it, all ranks keep. Nothing below ZeRO 3."""
    from deepspeed import zero

    return zero.GatheredParameters([parameter], modifier_rank=0)


def whole_weight(parameter: Tensor) -> Tensor:
    """A parameter in fp32, whole, on the device of every rank."""
    from deepspeed.utils import safe_get_full_fp32_param

    if parameter.requires_grad:
        master: Tensor = safe_get_full_fp32_param(parameter)
        return master
    with gathered(parameter):
        return parameter.detach().float().clone()


def sharded_weights(module: nn.Module) -> dict[str, Tensor]:
    """All weights and buffers, in fp32 and whole: on rank 0, {} elsewhere."""
    first, found = distributed.rank() == 0, {}
    for name, parameter in module.named_parameters():
        whole = whole_weight(parameter)
        if first:
            found[name] = to_cpu(whole)
    return {**found, **{n: to_cpu(b) for n, b in module.named_buffers()}} if first else {}


def load_sharded_weights(module: nn.Module, saved: dict[str, Tensor]) -> None:
    """Put rank 0's `saved` weights and buffers into the fp32 shards and into what the forward pass uses."""
    from deepspeed.utils import safe_set_full_fp32_param

    for name, parameter in module.named_parameters():
        with gathered(parameter), torch.no_grad():
            whole = distributed.tensor_from_first_rank(saved.get(name), parameter.detach().float())
            parameter.copy_(whole)
        if parameter.requires_grad:
            safe_set_full_fp32_param(parameter, whole)
    for name, buffer in module.named_buffers():
        buffer.copy_(distributed.tensor_from_first_rank(saved.get(name), buffer))


def flat_shards(zero: Any) -> list[Tensor]:
    """This rank's fp32 shards, the keys of the optimiser's state, of a DeepSpeed ZeRO optimiser."""
    stage_3 = hasattr(zero, "fp32_partitioned_groups_flat")
    shards: list[Tensor] = zero.fp32_partitioned_groups_flat if stage_3 else zero.single_partition_of_fp32_groups
    return shards


def sharded_entries(module: nn.Module, zero: Any) -> Entries:
    """Adam's state of every trained parameter, whole: on rank 0, {} elsewhere, and {} before the first update."""
    from deepspeed.utils import safe_get_full_optimizer_state

    state = zero.optimizer.state
    if not state:
        return {}
    _link(zero)
    first, found = distributed.rank() == 0, {}
    step = torch.as_tensor(state[flat_shards(zero)[0]]["step"], dtype=torch.float32)
    for name, parameter in trained(module).items():
        moments = {key: safe_get_full_optimizer_state(parameter, key) for key in MOMENTS}
        if first:
            found[name] = {"step": to_cpu(step), **{key: to_cpu(value) for key, value in moments.items()}}
    return found


def load_sharded_entries(module: nn.Module, zero: Any, saved: Entries) -> None:
    """Put rank 0's `saved` Adam state into the shards of a freshly built optimiser."""
    from deepspeed.utils import safe_set_full_optimizer_state

    shapes = layout(saved)
    if not shapes:
        return
    step = distributed.from_first_rank(float(next(iter(saved.values()))["step"]) if saved else None)
    _create_moments(zero, step)
    for name, parameter in trained(module).items():
        for key in MOMENTS:
            like = torch.empty_like(shapes[name][key], device=parameter.device)
            value = distributed.tensor_from_first_rank(saved.get(name, {}).get(key), like)
            safe_set_full_optimizer_state(parameter, value, key)


def _create_moments(zero: Any, step: float) -> None:
    """The state that Adam would create at its first update, with `step` updates counted."""
    for shard in flat_shards(zero):
        counted = (
            torch.tensor(step, device=shard.device) if isinstance(zero.optimizer, torch.optim.AdamW) else int(step)
        )
        zero.optimizer.state[shard] = {"step": counted, **{key: torch.zeros_like(shard) for key in MOMENTS}}
    _link(zero)


def _link(zero: Any) -> None:
    """Tell the parameters of stages 1 and 2 where in the shards their state is.

    DeepSpeed does so in the middle of the first update, when only the first group of parameters has any.
    """
    if hasattr(zero, "_lazy_init_hp_params_optimizer_state"):
        zero._hp_optimizer_states_linked = False
        zero._lazy_init_hp_params_optimizer_state()
