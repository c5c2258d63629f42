"""No curation: all studies, or a random share of them as the control of every curated one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.config import CurationConfig, setting
from core.curation.base import CURATIONS, Curated, CurationContext


@dataclass
class NoneConfig(CurationConfig):
    """How many studies."""

    name: str = setting("none", "studies as they come")
    keep: float = setting(1.0, "share of the training studies, drawn at random")


@CURATIONS.register("none", config=NoneConfig)
class NoCuration:
    """Studies as they come: all of them, or a random share (the control of a curated one of that size)."""

    def __init__(self, config: NoneConfig) -> None:
        self.config = config

    def choose(self, context: CurationContext) -> Curated:
        """A random share of the studies; no clusters."""
        studies = np.zeros(context.table.n_studies, np.bool_)
        chosen = context.rng().permutation(len(studies))[: context.count(self.config.keep)]
        studies[chosen] = True
        return Curated(studies, np.empty((0, len(studies)), np.int64))
