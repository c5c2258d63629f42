"""MVMAE: masked reconstruction of each view + alignment across views (arXiv 2507.02987, 2511.22294)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.config import MethodConfig, TrialConfig, setting
from core.errors import check_choice, check_range, require
from core.losses.alignment import DISTANCES, REDUCTIONS, alignment
from core.losses.reconstruction import normalise_patches, reconstruction
from core.losses.spread import spread
from core.methods.base import METHODS, Method, MethodContext, ViewBatch
from core.models.cross_decoder import CrossDecoder
from core.models.decoder import PatchDecoder
from core.models.masking import painted_patches, random_masks, visible_patches
from core.models.vit import PIXEL_MEAN, PIXEL_STD, ViewEncoder, gather_tokens, normalise, patchify, unpatchify
from core.schedules import SCHEDULES, scheduled

TOKENS = ("all", "cls", "all_but_cls")
DECODERS: dict[str, type[PatchDecoder] | type[CrossDecoder]] = {"self": PatchDecoder, "cross": CrossDecoder}


@dataclass
class MVMAEConfig(MethodConfig):
    """Settings of MVMAE; what the pairing strategy decides is not here."""

    name: str = setting("mvmae", "method")
    mask_ratio: float = setting(0.75, "share of patches hidden, in (0, 1); the authors ship 0.93")
    weight: float = setting(0.1, "alignment weight beta at the end of its schedule; 0 = no alignment")
    weight_start: float = setting(0.0, "alignment weight at the start of its schedule")
    schedule: str = setting("constant", "of the weight: constant | linear | cosine | exponential | sigmoid")
    steepness: float = setting(0.02, "of the sigmoid schedule, per epoch")
    schedule_warmup_epochs: float = setting(0.0, "epochs before the weight leaves weight_start")
    distance: str = setting("mse", "between two views' vectors: mse | cosine | infonce | mix | vicreg")
    reduction: str = setting("sum", "of mse over the width: sum | mean (the authors')")
    temperature: float = setting(0.5, "of infonce")
    tokens: str = setting("all", "tokens that are pooled: all (CLS + visible) | cls | all_but_cls")
    pool: str = setting("mean", "how tokens are compared: mean (pooled first) | none (token by token)")
    latent_head: bool = setting(False, "a linear head D -> D before the distance")
    normalise_target: bool = setting(False, "normalise the pixels of each target patch (He et al.'s MAE)")
    decoder: str = setting(
        "self", "the decoder's attention: self (among all tokens) | cross (of hidden on visible patches; CrossMAE)"
    )
    predict_ratio: float = setting(
        1.0, "share of the hidden patches that is painted, in (0, 1]; CrossMAE gives it as a share of all patches"
    )

    def __post_init__(self) -> None:
        check_range("method.mask_ratio", self.mask_ratio, 0, 1, open_low=True, open_high=True)
        check_range("method.weight", self.weight, 0, 1e6)
        check_range("method.weight_start", self.weight_start, 0, 1e6)
        check_range("method.temperature", self.temperature, 0, 1e3, open_low=True)
        check_range("method.schedule_warmup_epochs", self.schedule_warmup_epochs, 0, 1e6)
        check_choice("method.schedule", self.schedule, SCHEDULES)
        check_choice("method.distance", self.distance, DISTANCES)
        check_choice("method.reduction", self.reduction, REDUCTIONS)
        check_choice("method.tokens", self.tokens, TOKENS)
        check_choice("method.decoder", self.decoder, DECODERS)
        check_range("method.predict_ratio", self.predict_ratio, 0, 1, open_low=True)
        check_choice("method.pool", self.pool, ("mean", "none"))
        require(
            self.pool == "mean",
            "method.pool=none compares token i of one view with token i of the other, "
            "and with independent masks these are different patches",
            "use method.pool=mean",
        )

    def check_trial(self, trial: TrialConfig) -> None:
        """At least one patch must stay visible, and one be painted, at the trial's image and patch size."""
        patches = (trial.data.size // trial.model.patch) ** 2
        painted_patches(patches - visible_patches(patches, self.mask_ratio), self.predict_ratio)


@METHODS.register("mvmae", config=MVMAEConfig, source="arXiv 2507.02987")
class MVMAE(Method):
    """Masked reconstruction of each view plus alignment across the views that the pairing puts together."""

    config: MVMAEConfig
    decoder: PatchDecoder | CrossDecoder

    def __init__(self, config: MVMAEConfig, context: MethodContext) -> None:
        super().__init__(config, context)
        self.encoder = ViewEncoder(context.model, context.size, context.attention)
        self.decoder = DECODERS[config.decoder](context.model, self.encoder.tokens, context.attention)
        self.latent = nn.Linear(context.model.width, context.model.width) if config.latent_head else nn.Identity()
        self.visible = visible_patches(self.encoder.tokens, config.mask_ratio)
        self.painted = painted_patches(self.encoder.tokens - self.visible, config.predict_ratio)

    def alignment_weight(self, step: int) -> float:
        """beta(t) at an optimiser step."""
        config, context = self.config, self.context
        warmup = config.schedule_warmup_epochs * context.steps_per_epoch
        return scheduled(
            config.schedule,
            config.weight_start,
            config.weight,
            step,
            warmup,
            context.total_steps,
            context.steps_per_epoch,
            config.steepness,
        )

    def pooled(self, tokens: Tensor) -> Tensor:
        """One vector per image: mean of the chosen tokens of [N, 1 + K, D], through the latent head."""
        chosen = {"all": tokens, "cls": tokens[:, :1], "all_but_cls": tokens[:, 1:]}[self.config.tokens]
        return self.latent(chosen.float().mean(1))

    def forward(self, batch: ViewBatch, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses "loss", "reconstruction" and, where the batch has pairs, "alignment"; the spread of CLS tokens."""
        images = normalise(batch.images)
        keep, hidden = random_masks(batch.slot, batch.slots, self.encoder.tokens, self.visible, generator)
        tokens = self.encoder(images, batch.view, keep)
        # The hidden patches stand in random order: the first ones are a random share.
        hidden = hidden[:, : self.painted]
        predicted = self.decoder(tokens, keep, hidden, batch.view)
        target = gather_tokens(patchify(images, self.encoder.patch), hidden)
        if self.config.normalise_target:
            target = normalise_patches(target)[0]
        painted = reconstruction(predicted, target, batch)
        loss, terms = self.generated(painted, tokens, batch)
        seen, weight = spread(tokens[:, 0], "embedding"), self.alignment_weight(step)
        if sum(batch.pairs_per_rank) == 0:
            # The latent head takes part with a gradient of 0: DDP waits for every parameter.
            return {"loss": loss + 0 * self.pooled(tokens).sum(), **terms, **seen}
        aligned = alignment(
            self.config.distance, self.pooled(tokens), batch, self.config.reduction, self.config.temperature
        )
        return {"loss": loss + weight * aligned, **terms, "alignment": aligned, **seen}

    def generated(self, painted: Tensor, tokens: Tensor, batch: ViewBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """What is minimised beside the alignment, and its named terms: the reconstruction `painted`, here alone."""
        return painted, {"reconstruction": painted}

    @torch.no_grad()
    def reconstruct(self, images: Tensor, view: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """uint8 images [N, 1, H, W] -> "input", "masked" (hidden patches mid-grey), "output", [N, H, W] in [0, 1]."""
        pixels = normalise(images)
        slot = torch.arange(len(images), device=images.device)
        keep, hidden = random_masks(slot, len(images), self.encoder.tokens, self.visible, generator)
        painted = self.decoder(self.encoder(pixels, view, keep), keep, hidden, view).float()
        patches = patchify(pixels, self.encoder.patch)
        if self.config.normalise_target:
            _, mean, root = normalise_patches(gather_tokens(patches, hidden))
            painted = painted * root + mean
        index = hidden.unsqueeze(-1).expand_as(painted)
        masked = patches.scatter(1, index, torch.zeros_like(painted))
        output = patches.scatter(1, index, painted)
        shown = {"input": patches, "masked": masked, "output": output}
        return {
            name: (unpatchify(p, self.encoder.patch)[:, 0] * PIXEL_STD + PIXEL_MEAN).clamp(0, 1)
            for name, p in shown.items()
        }

    def forward_flops(self) -> dict[str, float]:
        """Floating-point operations of one image's forward pass, by part."""
        decoder = self.decoder.flops(self.visible, self.painted)
        return {"encoder": self.encoder.flops(self.visible), "decoder": decoder}
