"""The caption term of MVMAE-V2T (arXiv 2511.22294): cross-entropy of a report's words."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from core import distributed
from core.data.reports import PADDING
from core.losses.pairwise import at_least_float32


def caption(logits: Tensor, report: Tensor) -> Tensor:
    """Mean over the images (of all ranks) whose study has a report of the mean over its words of -log p(word).

    logits: [N, R, V]. report: [N, R] int64, PADDING behind the end of each report; all PADDING where there is none. 0
    where no image has a report. Scaled so that DDP's average of gradients is the gradient on the whole batch.
    """
    entropy = functional.cross_entropy(
        at_least_float32(logits).transpose(1, 2), report, reduction="none", ignore_index=PADDING
    )
    words = (report != PADDING).sum(1)
    images = distributed.sum_over_ranks((words > 0).sum())
    return (entropy.sum(1) / words.clamp(min=1)).sum() / images.clamp(min=1) * distributed.world_size()
