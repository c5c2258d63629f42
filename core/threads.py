"""How many threads linear algebra takes."""

from __future__ import annotations

from contextlib import AbstractContextManager


def one_thread() -> AbstractContextManager[None]:
    """Keep numpy's linear algebra to one thread from now on; what is returned puts the number back on leaving.

    A product of matrices rounds otherwise when it is cut up among threads, so that results would hang on the machine
    and on what its variables say.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    limits: AbstractContextManager[None] = threadpool_limits(1)
    return limits
