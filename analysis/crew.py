"""A few processes that each make one tool and use it on many things; none where there is little to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from core.threads import one_thread
from core.workers import die_with_parent, keep_freed_memory

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
    """Processes that make `tool(*arguments)` once each, for as long as the `with` block lasts.

    workers: how many are started; with 0 there is only the process that asks.
    """

    def __init__(self, tool: Callable[..., Any], arguments: tuple[Any, ...], workers: int) -> None:
        # Spawned: a fork of a process with threads (OpenMP's, Arrow's) may hang.
        spawn = get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, spawn, _make, (tool, arguments)) if workers else None

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def map(self, method: str, items: Sequence[Any], own: Any) -> Iterator[Any]:
        """What the tool's method returns for each item, in order; processes, if there are any, begin at once.

        own: the tool that this process has, which does it all where there are none, as each result is asked for.
        """
        if self._pool is None:
            return map(getattr(own, method), items)
        futures = [self._pool.submit(_use, method, item) for item in items]
        return (future.result() for future in futures)
