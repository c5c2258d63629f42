"""Warnings from outside (preemption, time limit, cancellation): finish the step, checkpoint, leave."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from core.errors import Interrupted

# what a scheduler sends ahead of the end (USR2: our jobs ask for it), and what it sends at the end
WARNINGS = (signal.SIGUSR2, signal.SIGTERM)
# exit code of a process that stopped because it was warned, and can go on where it was (sysexits.h: EX_TEMPFAIL)
STOPPED = 75


class Warned:
    """Hears the warnings. Ask it once a step; outside training, work that can be done again is broken off.

    Any number of warnings is as good as one: a second one during a save changes nothing.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._training = False

    def __call__(self) -> bool:
        """Whether a warning has come."""
        return bool(self.reason)

    @contextlib.contextmanager
    def heard(self) -> Iterator[Warned]:
        """Hear warnings inside the block, in the main thread."""
        before = {number: signal.signal(number, self._hear) for number in WARNINGS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Inside the block a warning is only noted: the one who trains asks for it at every step."""
        self._training = True
        try:
            yield
        finally:
            self._training = False

    def check(self) -> None:
        """Raise Interrupted if a warning has come."""
        if self.reason:
            raise Interrupted(self.reason)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        first = not self.reason
        self.reason = self.reason or f"warned by {signal.Signals(number).name}"
        if first and not self._training:
            raise Interrupted(self.reason)
