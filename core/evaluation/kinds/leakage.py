"""Site leakage: how well frozen features give away at which site a film was taken."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from core.config import setting
from core.data.types import Floats, Ints, Strings
from core.errors import check_range
from core.evaluation.base import EVALUATIONS, Evaluated, EvaluationContext, Metric, Skipped
from core.evaluation.linear import Part, fit_probe
from core.evaluation.metrics import auroc, macro
from core.evaluation.predictions import packed, prediction_frame
from core.evaluation.written import LEAKAGE


@dataclass
class LeakageConfig:
    """Settings of the site probe; its L2 strengths are the linear probe's."""

    fewest: int = setting(10, "a site with fewer training studies is left out")

    def __post_init__(self) -> None:
        check_range("evaluation.leakage.fewest", self.fewest, 1, 1_000_000)


@EVALUATIONS.register("leakage", config=LeakageConfig, source="arXiv 2604.00263: linear probe of the acquisition site")
def leakage(config: LeakageConfig, context: EvaluationContext) -> Evaluated | Skipped:
    """Linear probe that predicts a study's site, one site against the rest; accuracy near chance is good.

    Patients of the test split were in no training. Studies of an unknown site, or of one left out, do not count.
    leakage.parquet: predictions as in `Evaluated`, sites in place of labels.
    """
    names = known_sites(context.store.splits["train"].sites, config.fewest)
    if len(names) < 2:
        return Skipped(f"{len(names)} sites have {config.fewest} training studies or more; the probe needs two")
    parts = {split: _part(context, split, names) for split in ("train", "validate", "test")}
    settings = context.config.evaluation.probe
    test = parts["test"]
    if not len(test.rows):
        return Skipped("no test study is of a site that has training studies")
    fitted = fit_probe(parts["train"], parts["validate"], settings.strengths, settings.tolerance, context.device)
    probability = fitted.probabilities(test.x)
    frequent = int(parts["train"].y.sum(axis=0).argmax())
    table = replace(context.store.splits["test"], label_names=names)
    frame = prediction_frame("leakage", table, test.rows, test.y, probability, label_fraction=1.0)
    return Evaluated(_metrics(names, test.y, probability, frequent), files={LEAKAGE: packed(frame)})


def known_sites(sites: Strings, fewest: int) -> tuple[str, ...]:
    """Sites with at least `fewest` studies, sorted; "" is none."""
    found, counts = np.unique(sites[sites != ""], return_counts=True)
    return tuple(str(name) for name in found[counts >= fewest])


def _part(context: EvaluationContext, split: str, names: tuple[str, ...]) -> Part:
    x, present = context.features[split].at("study")
    sites = context.store.splits[split].sites
    y = (sites[:, None] == np.array(names)[None]).astype(np.float32)
    return Part(x, y, np.arange(len(x))).where(present & y.any(axis=1))


def _metrics(names: tuple[str, ...], truth: Floats, probability: Floats, frequent: int) -> list[Metric]:
    site, n = truth.argmax(axis=1), len(truth)
    right = probability.argmax(axis=1) == site
    areas = [auroc(truth[:, place], probability[:, place]) for place in range(len(names))]
    area, defined = macro(areas)
    counts = truth.sum(axis=0)
    return [
        Metric("leakage", "site_accuracy", float(right.mean()), n),
        Metric("leakage", "site_chance", float((site == frequent).mean()), n),
        Metric("leakage", "site_balanced_accuracy", _balanced(right, site), n),
        Metric("leakage", "site_auroc", area, defined),
        *(
            Metric("leakage", "auroc", value, n, label=name, n_positive=int(count))
            for name, value, count in zip(names, areas, counts, strict=True)
        ),
    ]


def _balanced(right: Floats, site: Ints) -> float:
    """Mean over the sites that occur of the share of their studies that are placed right."""
    return float(np.mean([right[site == place].mean() for place in np.unique(site)]))
