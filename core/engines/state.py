"""An engine's state as plain tensors by parameter name: free of the engine and of the number of processes.

A state is {"method": {name: tensor}, "optimiser": {parameter name: {"exp_avg": tensor, ...}}}, whole, in fp32, on
the CPU of rank 0; other ranks have {}. Loading sends it from rank 0 to the others one tensor at a time, so that no
other process ever holds more of it than it keeps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from core import distributed
from core.errors import CheckpointError

State = dict[str, Any]
Entries = dict[str, dict[str, Tensor]]


def to_cpu(value: Tensor) -> Tensor:
    """A copy on the CPU that later steps leave alone."""
    return value.detach().to("cpu", copy=True)


def trained(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def check_names(state: State, names: Iterable[str]) -> None:
    """Raise CheckpointError unless rank 0's state has exactly these weights and optimiser entries among them."""
    names = set(names)
    if distributed.rank() == 0 and not (set(state["method"]) == names and set(state["optimiser"]) <= names):
        raise CheckpointError(
            "the checkpoint is not of this method, model and version of viewpair",
            "delete the trial's folder `checkpoints` to train from the start",
        )


def weights(module: nn.Module) -> dict[str, Tensor]:
    """All weights and buffers of a module that each rank holds whole: on rank 0, {} elsewhere."""
    if distributed.rank() > 0:
        return {}
    return {name: to_cpu(value) for name, value in module.state_dict().items()}


def load_weights(module: nn.Module, saved: dict[str, Tensor]) -> None:
    """Put rank 0's `saved` weights and buffers into a module that each rank holds whole."""
    with torch.no_grad():
        for name, value in module.state_dict().items():
            value.copy_(distributed.tensor_from_first_rank(saved.get(name), value))


def optimiser_entries(optimiser: torch.optim.Optimizer, named: dict[str, nn.Parameter]) -> Entries:
    """The state of an optimiser of whole parameters: on rank 0, {} elsewhere."""
    if distributed.rank() > 0:
        return {}
    found = {name: optimiser.state[parameter] for name, parameter in named.items() if parameter in optimiser.state}
    return {name: {key: to_cpu(torch.as_tensor(v)) for key, v in entry.items()} for name, entry in found.items()}


def layout(entries: Entries) -> Entries:
    """Rank 0's entries without their content (tensors on the device "meta"), on every rank."""
    own = {name: {key: value.to("meta") for key, value in entry.items()} for name, entry in entries.items()}
    shared: Entries = distributed.from_first_rank(own)
    return shared


def load_optimiser(optimiser: torch.optim.Optimizer, named: dict[str, nn.Parameter], saved: Entries) -> None:
    """Put rank 0's `saved` entries into an optimiser of whole parameters."""
    received: Entries = {}
    for name, entry in layout(saved).items():
        mine, device = saved.get(name, {}), named[name].device
        received[name] = {
            key: distributed.tensor_from_first_rank(mine.get(key), torch.empty_like(value, device=device))
            for key, value in entry.items()
        }
    names = {id(parameter): name for name, parameter in named.items()}
    order = [names[id(parameter)] for group in optimiser.param_groups for parameter in group["params"]]
    packed = optimiser.state_dict()
    packed["state"] = {number: received[name] for number, name in enumerate(order) if name in received}
    optimiser.load_state_dict(packed)
