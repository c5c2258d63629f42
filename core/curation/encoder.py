"""The encoder through which curation looks at a trial's studies: the trial's own method, trained for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import TrialConfig
from core.data.store import StudyStore
from core.data.types import Floats

if TYPE_CHECKING:
    from core.methods.base import Method
    from core.trainer import OnStep, Stop

Embed = Callable[[int], Floats]
# Images of a forward pass; the evaluation's own setting must not change what is chosen.
BATCH = 256


def encoder_trial(config: TrialConfig, epochs: int) -> TrialConfig:
    """The same method, on all studies, for `epochs`; the warm-up is as much shorter as the training."""
    from core.engines.ddp_engine import DDPEngineConfig

    shorter = config.optim.warmup_epochs * epochs / max(1, config.train.epochs)
    return replace(
        config,
        curation=None,
        batches=None,
        engine=DDPEngineConfig(),
        train=replace(config.train, epochs=epochs),
        optim=replace(config.optim, warmup_epochs=shorter),
    )


def study_embeddings(store: StudyStore, method: Method, device: Any) -> Floats:
    """[S, D] float32 of the training studies: CLS tokens of whole images, the mean over a study's."""
    from core.evaluation.config import EvaluationConfig
    from core.evaluation.features import extract

    training = replace(store, splits={"train": store.splits["train"]})
    features = extract(training, method, EvaluationConfig(pool="cls", batch_size=BATCH), str(device))
    return features["train"].at("study")[0]


def embedder(config: TrialConfig, store: StudyStore, folder: Path, on_step: OnStep | None, stop: Stop) -> Embed:
    """What trains the encoder in `folder`, by this process alone, and gives the studies' embeddings.

    Interrupted or killed, it goes on from its last checkpoint, as a trial does.
    """

    def embed(epochs: int) -> Floats:
        from core.trainer import load_method, pick_device, train

        shorter, device = encoder_trial(config, epochs), pick_device(config.runtime.device)
        train(shorter, store, folder, on_step, stop)
        return study_embeddings(store, load_method(shorter, store, folder, device), device)

    return embed
