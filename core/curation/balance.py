"""How evenly points are spread over groups, before and after curation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.data.types import Ints


@dataclass(frozen=True)
class Balance:
    """Points of each of K groups, among all of them and among those that were kept.

    name: of the grouping. before, after: [K] int64.
    """

    name: str
    before: Ints
    after: Ints

    def row(self) -> dict[str, object]:
        """The row of a table; evenness is the entropy of the shares over ln K: 1 when all groups are of one size."""
        found: dict[str, object] = {"groups": self.name, "number": int((self.before > 0).sum())}
        for when, counts in (("before", self.before), ("after", self.after)):
            found[f"largest {when}"] = float(counts.max() / counts.sum())
            found[f"evenness {when}"] = evenness(counts, int((self.before > 0).sum()))
        return found


def evenness(counts: Ints, groups: int) -> float:
    """Entropy of the shares of counts [K] over ln `groups`, in [0, 1]; NaN for a single group."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum() / np.log(groups)) if groups > 1 else float("nan")


def balances(groupings: Mapping[str, Ints], kept: Ints) -> list[Balance]:
    """The balance of every grouping (name -> [N] int64 group of each point) when only rows `kept` are left."""
    found = []
    for name, groups in groupings.items():
        size = int(groups.max()) + 1
        found.append(Balance(name, np.bincount(groups, minlength=size), np.bincount(groups[kept], minlength=size)))
    return found
