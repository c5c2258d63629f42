"""What a finding does to the chest: the vocabulary in which `findings` and `devices` describe disease in 3-D."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from core.data.phantom.geometry import Array, Solids, ellipsoids
from core.data.phantom.organs import SIGN, Structure
from core.data.phantom.parts import Parts

MU_SOFT = 0.0195  # 1/mm, water-like tissue at about 65 keV effective


@dataclass(frozen=True)
class Layer:
    """Where air spaces of one lung are filled: a union of solids, and the share of air replaced (0 to 1)."""

    side: str
    solids: Solids
    fill: float


@dataclass(frozen=True)
class Effect:
    """One finding in 3-D. side: left | right | both | "". without: organ shapes had the finding not been there."""

    finding: str
    severity: float
    side: str
    layers: tuple[Layer, ...] = ()
    parts: Parts | None = None
    without: Structure | None = None


@dataclass(frozen=True)
class Pleura:
    """What lies in one pleural cavity: lung inside `aerated` (None = no fluid) shrunk by `collapse` (1 = expanded)."""

    aerated: Solids | None = None
    collapse: float = 1.0
    pivot: Array = field(default_factory=lambda: np.zeros(3))

    def joined(self, other: Pleura) -> Pleura:
        """Both states at once: fluid of either, and the collapse of `other` where it has one."""
        collapsed = other if other.collapse < 1 else self
        aerated = self.aerated if other.aerated is None else other.aerated
        return Pleura(aerated, collapsed.collapse, collapsed.pivot)


@dataclass(frozen=True)
class Disease:
    """All findings of one study."""

    structure: Structure
    pleura: dict[str, Pleura]
    effects: tuple[Effect, ...]


def shrunk(solids: Solids, factor: float, pivot: Array) -> Solids:
    """`solids` scaled by `factor` about `pivot`."""
    offsets = (solids.normals @ pivot) * (1 - factor) + factor * solids.offsets
    return Solids(solids.frame / factor, pivot + factor * (solids.centre - pivot), solids.normals, offsets)


def cluster(centre: Array, size: float, count: int, rng: np.random.Generator, spread: float = 0.7) -> Solids:
    """Ragged-edged patch of lung: `count` ellipsoids of about `size` mm round `centre`."""
    offsets = rng.normal(0, size * spread, (count, 3))
    offsets[0] = 0
    radii = size * rng.uniform(0.55, 1.05, (count, 3))
    return ellipsoids(centre + offsets, radii, _random_turn(rng))


def _random_turn(rng: np.random.Generator) -> Array:
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return np.asarray(q)


def mirrored(side: str, x: float, y: float, z: float) -> Array:
    """A point given as for the left side, on `side`."""
    return np.array([SIGN[side] * x, y, z])
