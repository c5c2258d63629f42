"""Errors that are for people: what was wrong, where, and what to do."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class UserError(ValueError):
    """Something the user can mend. The command line prints it as one message and exits with 2.

    `what` says what was wrong and where (file, field, row); `hint` says what to do about it.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        self.what, self.hint = what, hint
        super().__init__(f"{what}\n  -> {hint}" if hint else what)

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str]]:
        return type(self), (self.what, self.hint)


class ConfigError(UserError):
    """A key or a value of the configuration is wrong."""


class DataError(UserError):
    """A table, an image, a shard or an index is wrong."""


class CheckpointError(UserError):
    """A checkpoint cannot be used."""


class BusyError(UserError):
    """Another live process owns what was asked for."""


class NonFiniteLossError(UserError):
    """Training produced a loss that is not a finite number."""


def disk_full(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is that a disk or a quota is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False


class Interrupted(Exception):  # noqa: N818 (no error)
    """Training was asked to stop and did so: everything up to now is in a checkpoint. No error of anybody."""


def nearest(word: str, options: Iterable[str], n: int = 3) -> list[str]:
    """The `n` options that look most like `word`, best first (empty when nothing is close)."""
    pool = sorted(set(options))
    close = difflib.get_close_matches(word, pool, n=n, cutoff=0.65)
    return close or [o for o in pool if word and (word in o or o in word)][:n]


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """A hint that names the nearest options, or all of them when none is near."""
    pool = sorted(set(options))
    close = nearest(word, pool)
    if close:
        return "did you mean " + " or ".join(close) + "?"
    return "possible: " + ", ".join(pool)


def require(condition: bool, what: str, hint: str = "") -> None:
    """Raise ConfigError(what, hint) unless `condition` holds."""
    if not condition:
        raise ConfigError(what, hint)


def check_choice(field: str, value: str, options: Iterable[str]) -> None:
    """Raise ConfigError unless `value` is one of `options`; the message names `field` and the nearest."""
    pool = list(options)
    if value not in pool:
        raise ConfigError(f"{field}={value} is not a choice", did_you_mean(str(value), pool))


def check_range(
    field: str, value: float, low: float, high: float, *, open_low: bool = False, open_high: bool = False
) -> None:
    """Raise ConfigError unless `value` lies between `low` and `high` (each end closed unless said open)."""
    above = value > low if open_low else value >= low
    below = value < high if open_high else value <= high
    if not (above and below):
        left, right = "(" if open_low else "[", ")" if open_high else "]"
        raise ConfigError(
            f"{field}={value} is outside {left}{low}, {high}{right}",
            f"set {field} to a value inside {left}{low}, {high}{right}",
        )
