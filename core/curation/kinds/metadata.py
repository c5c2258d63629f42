"""The supervised baseline of curation: studies of rare groups are drawn more often (arXiv 2503.18709)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.config import CurationConfig, setting
from core.curation.base import CURATIONS, Curated, CurationContext
from core.data.store import StudyTable
from core.data.types import Ints, View
from core.errors import check_choice


def _by_labels(table: StudyTable) -> Ints:
    return _numbered((table.labels == 1).astype(np.int64))


def _by_site(table: StudyTable) -> Ints:
    return _numbered(table.sites)


def _by_views(table: StudyTable) -> Ints:
    counts = [np.add.reduceat((table.view == view).astype(np.int64), table.start[:-1]) for view in View]
    return _numbered(np.stack(counts, axis=1))


def _numbered(values: np.ndarray) -> Ints:
    return np.unique(values, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


# What makes a group -> [S] int64, the group of each study.
GROUPS: dict[str, Callable[[StudyTable], Ints]] = {"labels": _by_labels, "site": _by_site, "views": _by_views}


@dataclass
class MetadataConfig(CurationConfig):
    """Whose groups, and how many studies."""

    name: str = setting("metadata", "by groups that are known, such as labels")
    keep: float = setting(0.1, "share of the training studies")
    by: str = setting("labels", "a group is: labels (the same findings) | site | views (as many of each view)")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("curation.by", self.by, GROUPS)

    @property
    def n_levels(self) -> int:
        """The groups are the clusters of the one level."""
        return 1


@CURATIONS.register("metadata", config=MetadataConfig, source="arXiv 2503.18709")
class MetadataCuration:
    """Studies drawn without return, each weighted by the largest group's size over its own group's."""

    def __init__(self, config: MetadataConfig) -> None:
        self.config = config

    def choose(self, context: CurationContext) -> Curated:
        """A weighted share of the studies; the clusters are the groups."""
        groups = GROUPS[self.config.by](context.table)
        sizes = np.bincount(groups)
        studies = np.zeros(len(groups), np.bool_)
        # Efraimidis and Spirakis 2006: the greatest u ** (1 / weight) are a weighted sample without return.
        keys = np.log(1 - context.rng().random(len(groups))) * (sizes[groups] / sizes.max())
        studies[np.argsort(-keys, kind="stable")[: context.count(self.config.keep)]] = True
        return Curated(studies, groups[None])
