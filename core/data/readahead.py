"""Work done ahead of its use by threads, handed over in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def read_ahead(
    make: Callable[[int], T],
    start: int,
    stop: int,
    *,
    workers: int,
    prefetch: int,
    prepare_thread: Callable[[], None] | None = None,
) -> Generator[T, None, None]:
    """make(start), ..., make(stop - 1) in this order, up to `prefetch` of them made ahead by `workers` threads.

    With no workers each is made when it is asked for. An error is raised where its item would have come.
    Closing the iterator stops the threads: what they have begun is finished and dropped.
    """
    if workers == 0:
        yield from map(make, range(start, stop))
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="loader", initializer=prepare_thread)
    waiting: deque[Future[T]] = deque()
    ahead = iter(range(start, stop))
    try:
        for step in ahead:
            waiting.append(pool.submit(make, step))
            if len(waiting) >= prefetch:
                break
        while waiting:
            item = waiting.popleft().result()
            for step in ahead:
                waiting.append(pool.submit(make, step))
                break
            yield item
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
