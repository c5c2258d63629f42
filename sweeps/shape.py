"""How many processes train a trial together, and what else may run beside them."""

from __future__ import annotations

from dataclasses import dataclass

from core.config import TrialConfig
from core.measures.base import MEASURES


@dataclass(frozen=True, order=True)
class Shape:
    """processes: that train a trial together. nodes: over which they are spread. alone: nothing runs beside them."""

    processes: int
    nodes: int
    alone: bool

    @property
    def per_node(self) -> int:
        """Processes on each node."""
        return self.processes // self.nodes


def shape_of(config: TrialConfig, processes: int = 1, nodes: int = 1) -> Shape:
    """The shape that a trial asks for; where it leaves that to the launcher, the launcher's `processes` and `nodes`."""
    alone: bool = MEASURES.get(config.measure.name).build.alone
    if not config.runtime.processes:
        return Shape(processes, nodes, alone)
    return Shape(config.runtime.processes, config.runtime.nodes or 1, alone)
