"""What every evaluation shares. Each evaluation's own settings are added under its name."""

from __future__ import annotations

from dataclasses import dataclass

from core.config import setting
from core.data.labels import LABEL_POLICIES
from core.errors import check_choice, check_range, require

ALL = "all"


@dataclass
class EvaluationConfig:
    """What is measured on a trained encoder, and how labels and features are read."""

    run: list[str] = setting(
        ["probe", "knn", "retrieval", "rank", "head", "leakage", "gallery"],
        "which evaluations to run; [all] = every one",
    )
    label_policy: str = setting(
        "zeros", "uncertain and missing labels: zeros (both 0) | ones (uncertain 1, missing 0) | ignore (both left out)"
    )
    pool: str = setting("cls", "an image's feature: cls | mean (of patch tokens)")
    batch_size: int = setting(256, "images per forward pass when features are computed")

    def __post_init__(self) -> None:
        from core.evaluation.base import EVALUATIONS

        require(bool(self.run), "evaluation.run is empty", "name at least one: " + ", ".join(EVALUATIONS.names()))
        for name in self.run:
            check_choice("evaluation.run", name, [*EVALUATIONS.names(), ALL])
        require(
            len(set(self.run)) == len(self.run),
            f"evaluation.run={self.run} names an evaluation twice",
            "name each evaluation once",
        )
        alone = ALL not in self.run or len(self.run) == 1
        require(alone, f"evaluation.run={self.run} names more than all there are", f"write evaluation.run=[{ALL}]")
        check_choice("evaluation.label_policy", self.label_policy, LABEL_POLICIES)
        check_choice("evaluation.pool", self.pool, ("cls", "mean"))
        check_range("evaluation.batch_size", self.batch_size, 1, 1_000_000)

    @property
    def chosen(self) -> list[str]:
        """The names of the evaluations to run."""
        from core.evaluation.base import EVALUATIONS

        return EVALUATIONS.names() if self.run == [ALL] else self.run
