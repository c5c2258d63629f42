"""Run the evaluations that a config names on one trained encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.config import TrialConfig
from core.data.store import StudyStore
from core.evaluation.base import EVALUATIONS, Evaluated, EvaluationContext, Skipped
from core.evaluation.features import extract
from core.evaluation.metrics import apply_policy
from core.evaluation.predictions import stack

if TYPE_CHECKING:
    from core.methods.base import Method


def evaluate(config: TrialConfig, store: StudyStore, method: Method, device: Any) -> Evaluated:
    """Run `config.evaluation.run` on a trained method and put the results together.

    Every image is encoded once. An evaluation that does not apply to this method or data set stands in
    `skipped` with its reason. device: a torch device or its name.
    """
    method.eval()
    settings = config.evaluation
    labels = {name: apply_policy(table.labels, settings.label_policy) for name, table in store.splits.items()}
    features = extract(store, method, settings, str(device))
    context = EvaluationContext(config, store, method, features, labels, config.seed, str(device))
    outcomes = {name: EVALUATIONS.get(name).build(getattr(settings, name), context) for name in settings.chosen}
    return combine(outcomes)


def combine(outcomes: dict[str, Evaluated | Skipped]) -> Evaluated:
    """Several evaluations' results as one, in the order they ran."""
    done = [o for o in outcomes.values() if isinstance(o, Evaluated)]
    files: dict[str, bytes] = {}
    for outcome in done:
        if clash := files.keys() & outcome.files.keys():
            raise ValueError(f"two evaluations write {', '.join(sorted(clash))}")
        files |= outcome.files
    return Evaluated(
        metrics=[metric for outcome in done for metric in outcome.metrics],
        predictions=stack([o.predictions for o in done if o.predictions is not None]),
        files=files,
        skipped={name: o.reason for name, o in outcomes.items() if isinstance(o, Skipped)},
    )
