"""What is learned: a trial is trained to its end and its encoder evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.config import MeasureConfig, TrialConfig, setting
from core.data.store import StudyStore
from core.measures.base import MEASURES, Watch


@dataclass
class QualityConfig(MeasureConfig):
    """No settings: train.* and evaluation.* say it all."""

    name: str = setting("quality", "measure")


@MEASURES.register("quality", config=QualityConfig)
class Quality:
    """Train, then evaluate what the encoder has learned."""

    # The machine and the engine change how long it takes, not what comes out.
    identity: tuple[str, ...] = ()
    alone = False

    def __init__(self, config: QualityConfig) -> None:
        self.config = config

    def lead(self, config: TrialConfig, store: StudyStore, folder: Path, watch: Watch) -> None:
        """Train with the others; evaluate alone."""
        from core.evaluation.evaluate import evaluate
        from core.results import write_result
        from core.trainer import load_method, pick_device, train

        watch.stage("train")
        with watch.training():
            train(config, store, folder, watch.step, watch.warned)
        watch.stage("evaluate")
        device = pick_device(config.runtime.device)
        method = load_method(config, store, folder, device)
        write_result(folder, config, store, evaluate(config, store, method, device))

    def follow(self, config: TrialConfig, store: StudyStore, folder: Path, stop: Callable[[], bool]) -> None:
        """Train with the first."""
        from core.trainer import train

        train(config, store, folder, stop=stop)

    def images(self, config: TrialConfig, images: float, studies: float) -> float:
        """Every image once an epoch, those of the encoder that curation looks through included."""
        return images * (config.train.epochs + config.curation.encoder_epochs)
