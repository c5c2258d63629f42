"""What passes between processes: sums over all ranks, gathers that carry gradients, and what rank 0 tells the rest."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

# waiting for what rank 0 does by itself may last as long as training an encoder
PATIENCE = datetime.timedelta(days=7)
_alone = False


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Inside the block this process works by itself, as if it were in no group; the others do not take part."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def is_alone() -> bool:
    """Whether this process works by itself (`alone`)."""
    return _alone


def together() -> bool:
    """Whether this process is in a group, and not `alone`."""
    return not _alone and dist.is_available() and dist.is_initialized()


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if together() else 1


def rank() -> int:
    """This process's number in [0, world_size)."""
    return dist.get_rank() if together() else 0


def wait_for_first_rank() -> None:
    """Wait for days, if need be, until rank 0 has come here; it must be called on every rank."""
    if world_size() > 1:
        dist.barrier(dist.new_group(backend="gloo", timeout=PATIENCE))


class _Gather(torch.autograd.Function):
    """All-gather whose backward sums what every rank's loss says of this rank's rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous()
        dist.all_reduce(summed)
        return summed[rank()]


def gather_rows(rows: Tensor, counts: tuple[int, ...]) -> Tensor:
    """Rows of all ranks in rank order, with gradients.

    rows: [counts[rank], ...]. counts: rows of every rank, known beforehand, so that no rank has to wait to
    learn them. Returns [sum(counts), ...]. Each rank's backward receives the sum over ranks' losses.
    """
    if world_size() == 1:
        return rows
    padded = rows.new_zeros((max(counts), *rows.shape[1:]))
    padded[: len(rows)] = rows
    parts = _Gather.apply(padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


class _Sum(torch.autograd.Function):
    """All-reduce whose backward sums what every rank's loss says of the sum."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return sum_over_ranks(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return sum_over_ranks(gradient.contiguous())


def sum_with_gradients(value: Tensor) -> Tensor:
    """Sum of a tensor over all ranks. Each rank's backward receives the sum over ranks' losses."""
    return value if world_size() == 1 else _Sum.apply(value)


def sum_over_ranks(value: Tensor) -> Tensor:
    """Sum of a detached tensor over all ranks; the device need not be waited for."""
    if world_size() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total


def from_first_rank(value: Any) -> Any:
    """Rank 0's `value` (plain Python) on every rank."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def from_all_ranks(value: Any) -> list[Any]:
    """Every rank's `value` (plain Python), in rank order, on every rank."""
    everyone: list[Any] = [value] * world_size()
    if world_size() > 1:
        dist.all_gather_object(everyone, value)
    return everyone


def tensor_from_first_rank(value: Tensor | None, like: Tensor) -> Tensor:
    """Rank 0's tensor on every rank, with the shape, dtype and device of `like`; other ranks give None."""
    received = torch.empty_like(like) if value is None else value.to(like, copy=True)
    if world_size() > 1:
        dist.broadcast(received, src=0)
    return received


class StopTogether:
    """Whether to stop before the next step, answered alike on every rank.

    A rank that is asked to stop must not leave alone: the others would wait for it in the next collective. Each
    call starts a small vote on the CPU, beside the step, and answers with the outcome of the vote before; so
    nothing waits, no device is asked, and all stop one step after the first one wanted to.
    """

    def __init__(self, wanted: Callable[[], bool]) -> None:
        self._wanted = wanted
        self._group = dist.new_group(backend="gloo") if world_size() > 1 else None
        self._vote: tuple[Tensor, Any] | None = None

    def __call__(self) -> bool:
        """Call once a step, on every rank."""
        if self._group is None:
            return self._wanted()
        answer = self.settle()
        mine = torch.tensor(int(self._wanted()))
        self._vote = mine, dist.all_reduce(mine, dist.ReduceOp.MAX, self._group, async_op=True)
        return answer

    def settle(self) -> bool:
        """Wait for the vote that is under way; its outcome (False where there is none)."""
        if self._vote is None:
            return False
        votes, work = self._vote
        work.wait()
        self._vote = None
        return bool(votes)
