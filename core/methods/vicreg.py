"""VICReg (Bardes, Ponce, LeCun 2021) between the two images that the pairing puts together.

The paper trains a ResNet-50 with LARS (optim=lars here); for the vision transformer AdamW is the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from core import distributed
from core.config import MethodConfig, TrialConfig, setting
from core.errors import check_range, require
from core.losses.vicreg import vicreg_terms, vicreg_total
from core.methods.base import METHODS, Method, MethodContext, ViewBatch
from core.models.vit import ViewEncoder, normalise


@dataclass
class VICRegConfig(MethodConfig):
    """Settings of VICReg (paper, section 4.2)."""

    name: str = setting("vicreg", "method")
    expander: list[int] = setting([8192, 8192, 8192], "widths of the expander's layers")
    invariance: float = setting(25.0, "weight of the invariance term")
    variance: float = setting(25.0, "weight of the variance term")
    covariance: float = setting(1.0, "weight of the covariance term")

    def __post_init__(self) -> None:
        require(
            len(self.expander) > 0 and all(width > 0 for width in self.expander),
            f"method.expander={self.expander} is no list of widths",
            "give at least one width > 0",
        )
        for term in ("invariance", "variance", "covariance"):
            check_range(f"method.{term}", getattr(self, term), 0, 1e6)

    def check_trial(self, trial: TrialConfig) -> None:
        """VICReg compares two images, so the pairing must form pairs, and statistics need a batch."""
        require(
            trial.pairing.name != "none",
            "method=vicreg needs pairs and pairing=none forms none",
            "use pairing=same_view_augmented (unstructured) or pairing=same_study (structured)",
        )
        require(
            trial.train.batch_size >= 2,
            "method=vicreg needs batch statistics and train.batch_size=1",
            "use a batch of at least 2 studies",
        )


def expander(width: int, widths: list[int]) -> nn.Sequential:
    """Linear layers with batch norm and ReLU after all but the last, which is linear without a bias."""
    layers: list[nn.Module] = []
    for hidden in widths[:-1]:
        layers += [nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)]
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, widths[-1], bias=False))


@METHODS.register(
    "vicreg",
    config=VICRegConfig,
    source="Bardes, Ponce, LeCun 2021, arXiv 2105.04906",
    overrides={"pairing": "same_view_augmented"},
)
class VICReg(Method):
    """Variance-invariance-covariance regularisation of two images' embeddings."""

    config: VICRegConfig

    def __init__(self, config: VICRegConfig, context: MethodContext) -> None:
        super().__init__(config, context)
        self.encoder = ViewEncoder(context.model, context.size, context.attention)
        self.expander = expander(context.model.width, list(config.expander))

    def forward(self, batch: ViewBatch, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses "loss", "invariance", "variance", "covariance"; 0 for a batch with fewer than two pairs."""
        features = self.encoder(normalise(batch.images), batch.view)[:, 0]
        first, second = batch.pairs.unbind(1)
        counts = batch.pairs_per_rank
        if sum(counts) < 2 or min(counts) < 2:
            # Every parameter takes part, with a gradient of 0: DDP waits for all of them.
            return {"loss": torch.stack([p.sum() for p in self.parameters()]).sum() * 0}
        x = distributed.gather_rows(self.expander(features[first]).float(), counts)
        y = distributed.gather_rows(self.expander(features[second]).float(), counts)
        terms = vicreg_terms(x, y)
        total = vicreg_total(terms, self.config.invariance, self.config.variance, self.config.covariance)
        return {"loss": total, **terms}

    def forward_flops(self) -> dict[str, float]:
        """Floating-point operations of one image's forward pass, by part."""
        widths = [self.encoder.width, *self.config.expander]
        head = sum(2.0 * a * b for a, b in pairwise(widths))
        return {"encoder": self.encoder.flops(self.encoder.tokens), "head": head}
