"""What would settle it: how many seeds, or how many patients, an effect of the size seen would need."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from analysis.statistics import Components

MOST_SEEDS, MOST_TIMES = 200, 1000.0
ENDLESS = 1e9


@dataclass(frozen=True)
class Aim:
    """What a test must tell: a distance from the bound that decides, at a two-sided error of `alpha`.

    distance: of the true effect from the bound, > 0. alpha: share of false alarms, two-sided. power: of finding it.
    """

    distance: float
    alpha: float = 0.05
    power: float = 0.8


def power_of(aim: Aim, parts: Components, n_seeds: int, times_patients: float = 1.0) -> float:
    """Chance that the test is significant with so many seeds and so many times the patients.

    The variance between seeds is known with n - 1 degrees of freedom only, that over patients with endless ones; the
    two are put together by Satterthwaite's rule.
    """
    # Of scipy.special, as the import of scipy.stats takes a second.
    from scipy.special import ndtr, stdtrit

    whole = parts.variance(n_seeds, times_patients)
    if whole <= 0:
        return 1.0
    of_seeds = parts.seeds / n_seeds
    freedom = (n_seeds - 1) * (whole / of_seeds) ** 2 if of_seeds > 0 and n_seeds > 1 else ENDLESS
    return float(ndtr(aim.distance / math.sqrt(whole) + stdtrit(min(freedom, ENDLESS), aim.alpha / 2)))


def seeds_needed(aim: Aim, parts: Components) -> int | None:
    """The fewest seeds (2 or more) on the same patients; None when 200 would not do."""
    if power_of(aim, parts, MOST_SEEDS) < aim.power:
        return None
    return _first(lambda n: power_of(aim, parts, n) >= aim.power, 2, MOST_SEEDS)


def patients_needed(aim: Aim, parts: Components, n_seeds: int, n_patients: int) -> int | None:
    """The fewest patients with the same seeds; None when a thousand times as many would not do."""
    if power_of(aim, parts, n_seeds, MOST_TIMES) < aim.power:
        return None
    most = math.ceil(n_patients * MOST_TIMES)
    return _first(lambda p: power_of(aim, parts, n_seeds, p / n_patients) >= aim.power, 2, most)


def _first(enough: Callable[[int], bool], low: int, high: int) -> int:
    # Bisection: power grows with the number.
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low
