"""What every evaluation shares. Each evaluation's own settings are added under its name."""

from __future__ import annotations

from dataclasses import dataclass

from core.config import setting
from core.errors import check_choice


@dataclass
class EvaluationConfig:
    """What is measured on a trained encoder, and how labels and features are read."""

    run: list[str] = setting(["probe", "knn", "retrieval", "rank", "head", "gallery"], "which evaluations to run")
    label_policy: str = setting("zeros", "uncertain and missing labels: zeros | ones | ignore")
    pool: str = setting("cls", "an image's feature: cls | mean (of patch tokens)")
    batch_size: int = setting(256, "images per forward pass when features are computed")

    def __post_init__(self) -> None:
        check_choice("evaluation.label_policy", self.label_policy, ("zeros", "ones", "ignore"))
        check_choice("evaluation.pool", self.pool, ("cls", "mean"))
