"""What a measure is: what a trial is run for, which settings make it that trial, and what its processes do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from core.registry import Registry

if TYPE_CHECKING:
    from core.config import TrialConfig
    from core.data.store import StudyStore

QUALITY = "quality"


class Watch(Protocol):
    """Who is told how a trial gets on. warned: asked once a step; whether to stop."""

    @property
    def warned(self) -> Callable[[], bool]: ...

    def stage(self, name: str) -> None:
        """Enter stage data | train | evaluate."""

    def training(self) -> contextlib.AbstractContextManager[None]:
        """Inside the block, who trains asks `warned()` at every step and stops by itself."""

    def step(self, step: int, total_steps: int) -> None:
        """`step` of `total_steps` is done."""


class Measure(Protocol):
    """Built as `Measure(config.measure)`.

    identity: dotted keys of the config that change its result, besides those that change what is learned.
    alone: whether nothing else may run beside the trial, and nothing have run in its processes before.
    """

    identity: tuple[str, ...]
    alone: bool

    def lead(self, config: TrialConfig, store: StudyStore, folder: Path, watch: Watch) -> None:
        """Be the trial's first process: do all there is to do and write the result (core/results.py)."""

    def follow(self, config: TrialConfig, store: StudyStore, folder: Path, stop: Callable[[], bool]) -> None:
        """Be one of the trial's other processes: take part in what the first needs them for."""

    def images(self, config: TrialConfig, images: float, studies: float) -> float:
        """How many images pass through the encoder in training, of a training split of so many."""


MEASURES: Registry[type[Any]] = Registry("measure", "core.measures")
