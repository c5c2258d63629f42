"""Loops that have to be compiled: by numba, at their first call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def native(function: F) -> F:
    """A function that is compiled at its first call and runs without the GIL.

    Its machine code is kept beside it, or in a folder for such; where none can be written, as in a container without a
    home, every process compiles anew.
    """
    try:
        return cast(F, numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:
        return cast(F, numba.njit(nogil=True)(function))
