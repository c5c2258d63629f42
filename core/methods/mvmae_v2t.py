"""MVMAE-V2T (arXiv 2511.22294, code): MVMAE whose masked tokens must also tell what the study's report concludes.

Each image's visible tokens caption by themselves, as no attention passes between views (ours: how the authors join the
views for the caption is not known). Words are those of the training reports in place of BERT's word pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from core.config import TrialConfig, setting
from core.data.pairings.base import PAIRINGS
from core.errors import check_range, require
from core.losses.caption import caption
from core.methods.base import METHODS, MethodContext, ViewBatch
from core.methods.mvmae import MVMAE, MVMAEConfig
from core.models.caption import CaptionDecoder

NO_REPORTS = "set data.reports=true with a data set that has reports (phantom, mimic_cxr, folder with a column report)"


@dataclass
class MVMAEV2TConfig(MVMAEConfig):
    """MVMAE's settings and those of the caption."""

    name: str = setting("mvmae_v2t", "method")
    caption_share: float = setting(
        1 / 3, "share of the caption in its mean with the reconstruction; 1 / (1 + views) as in the code, for two views"
    )
    caption_depth: int = setting(4, "layers of the caption decoder, as wide as the encoder")
    caption_words: int = setting(300, "words of a report that are predicted, the first ones")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("method.caption_share", self.caption_share, 0, 1, open_low=True, open_high=True)
        check_range("method.caption_depth", self.caption_depth, 1, 200)
        check_range("method.caption_words", self.caption_words, 1, 10_000)

    def check_trial(self, trial: TrialConfig) -> None:
        """Reports are needed, and images of the study that the report is of."""
        super().check_trial(trial)
        require(trial.data.reports, f"method={self.name} captions reports and data.reports=false", NO_REPORTS)
        require(
            PAIRINGS.build(trial.pairing).within_study,
            f"method={self.name} captions each image with its study's report, "
            f"and pairing={trial.pairing.name} brings images of other studies",
            "use pairing=same_study, same_study_any, same_view_augmented or none",
        )


@METHODS.register("mvmae_v2t", config=MVMAEV2TConfig, source="arXiv 2511.22294")
class MVMAEV2T(MVMAE):
    """MVMAE with a causal decoder that predicts the words of the study's report from the visible tokens."""

    config: MVMAEV2TConfig

    def __init__(self, config: MVMAEV2TConfig, context: MethodContext) -> None:
        require(context.vocabulary > 0, f"method={config.name} captions reports and the data has none", NO_REPORTS)
        super().__init__(config, context)
        model, self.words = context.model, min(config.caption_words, context.report_words)
        self.captioner = CaptionDecoder(model.width, config.caption_depth, model.heads, context.vocabulary, self.words)

    def generated(self, painted: Tensor, tokens: Tensor, batch: ViewBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted mean of "reconstruction" and "caption", and the two."""
        report = batch.report[batch.study, : self.words]
        said = caption(self.captioner(tokens, report), report)
        share = self.config.caption_share
        return (1 - share) * painted + share * said, {"reconstruction": painted, "caption": said}

    def forward_flops(self) -> dict[str, float]:
        """Floating-point operations of one image's forward pass, by part."""
        return {**super().forward_flops(), "caption": self.captioner.flops(self.visible + 1)}
