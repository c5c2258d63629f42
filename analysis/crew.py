"""A few processes that each make one tool and use it on many things; none where there is little to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from core.threads import one_thread
from core.workers import cores, die_with_parent, keep_freed_memory

_tool: Any = None


def _make(tool: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    global _tool
    die_with_parent()
    keep_freed_memory()
    one_thread()
    _tool = tool(*arguments)


def _use(method: str, item: Any) -> Any:
    from analysis.plots import base

    with base.look():
        return getattr(_tool, method)(item)


class Crew:
    """Processes that make `tool(*arguments)` once each. workers: how many pay; at most one a core is started."""

    def __init__(self, tool: Callable[..., Any], arguments: tuple[Any, ...], workers: int) -> None:
        self._tool, self._arguments, self._workers = tool, arguments, min(cores(), workers)

    def map(self, method: str, items: Sequence[Any], own: Any) -> Iterator[Any]:
        """What the tool's method returns for each item, in order. own: the tool that this process has."""
        if self._workers < 2:
            yield from map(getattr(own, method), items)
            return
        # Spawned: a fork of a process with threads (OpenMP's, Arrow's) may hang.
        with ProcessPoolExecutor(self._workers, get_context("spawn"), _make, (self._tool, self._arguments)) as pool:
            futures = [pool.submit(_use, method, item) for item in items]
            try:
                for future in futures:
                    yield future.result()
            finally:
                for future in futures:
                    future.cancel()
