"""Trials of different shapes in one sweep: what a task of each shape needs, and whether SLURM would take it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from core.config import TrialConfig
from core.errors import ConfigError
from sweeps.shape import Shape, shape_of
from sweeps.slurm.runs import Packing, pack
from sweeps.slurm.scheduler import SchedulerError
from sweeps.slurm.submit import test

if TYPE_CHECKING:
    from sweeps.launchers.slurm import SlurmConfig


@dataclass(frozen=True)
class Group:
    """Trials whose tasks are alike. config: the launcher's, with what one of their tasks needs."""

    config: SlurmConfig
    trials: Mapping[str, TrialConfig]

    def pack(self, array_size: int) -> Packing:
        """Its trials in tasks."""
        config = self.config
        return pack(list(self.trials), config.trials_per_task, config.concurrent, config.ranks, array_size)


def groups(config: SlurmConfig, trials: Mapping[str, TrialConfig]) -> list[Group]:
    """The trials by their shape, in the order in which the shapes come."""
    by_shape: dict[Shape, dict[str, TrialConfig]] = {}
    for trial, own in trials.items():
        by_shape.setdefault(shape_of(own, config.ranks, config.nodes), {})[trial] = own
    return [Group(fitted(config, shape), of_shape) for shape, of_shape in by_shape.items()]


def fitted(config: SlurmConfig, shape: Shape) -> SlurmConfig:
    """The launcher's config for tasks of a shape.

    What a task has on each node (launcher.gres, launcher.memory_gb) is meant for as many processes as
    launcher.ranks, launcher.nodes and launcher.concurrent say, and grows and shrinks with them.
    """
    like = replace(
        config,
        ranks=shape.processes,
        nodes=shape.nodes,
        concurrent=1 if shape.alone or shape.nodes > 1 else config.concurrent,
        trials_per_task=1 if shape.alone else config.trials_per_task,
    )
    times = Fraction(like.concurrent * shape.per_node, config.concurrent * (config.ranks // config.nodes))
    if times == 1:
        return like
    return replace(like, gres=scaled(config.gres, times), memory_gb=float(config.memory_gb * times))


def scaled(gres: str, times: Fraction) -> str:
    """Generic resources such as "gpu:1" or "gpu:a100:2,nvme:1", each count so many times, rounded up."""
    parts = []
    for part in filter(None, gres.split(",")):
        name, _, count = part.rpartition(":")
        known = name and count.isdigit()
        parts.append(f"{name if known else part}:{math.ceil((int(count) if known else 1) * times)}")
    return ",".join(parts)


def refusal(config: SlurmConfig) -> str:
    """What SLURM has against a task, "" for nothing, or where it cannot be asked (a plan may be shown anywhere)."""
    try:
        test(config)
    except ConfigError as refused:
        return refused.what
    except SchedulerError:
        return ""
    return ""
