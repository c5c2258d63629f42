"""From the first step whose loss or gradient is not finite on, nothing is updated; decided on the device."""

from __future__ import annotations

import torch
from torch import Tensor


class Guard:
    """Remembers the first bad step without making the host wait."""

    def __init__(self, device: torch.device) -> None:
        self._first = torch.full((), -1, dtype=torch.int64, device=device)

    def note(self, fine: Tensor, step: int) -> None:
        """Step `step` is fine, or not: a bool scalar on the device."""
        first = (self._first < 0) & ~fine
        self._first = torch.where(first, torch.full_like(self._first, step), self._first)

    def bad(self) -> Tensor:
        """Bool scalar on the device: a bad step has been noted."""
        return self._first >= 0

    def first_bad_step(self) -> int:
        """The first bad step, or -1. Waits for the device."""
        return int(self._first.item())
