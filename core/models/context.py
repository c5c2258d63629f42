"""Encoders with context bottlenecks between their stages (MLVICX, arXiv 2403.11504): a ResNet-18 and the suite's ViT.

A bottleneck is CBAM's attention over channels and then over places (Woo et al. 2018, section 3); what it gives is the
stage's feature map and the next stage's input. Evaluation keeps the bottlenecks: without them the stages would see
other inputs than in training.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from core.config import ModelConfig
from core.models.heads import BatchNorm2d
from core.models.timm_import import import_timm
from core.models.vit import ViewEncoder, normalise


class ContextBottleneck(nn.Module):
    """Attention over the channels, then over the places, of maps [N, C, h, w]; the shape stays."""

    def __init__(self, channels: int, reduction: int = 2, kernel: int = 7) -> None:
        super().__init__()
        self.channels = nn.Sequential(
            nn.Conv2d(channels, channels // reduction, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels // reduction, channels, 1, bias=False),
        )
        self.places = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """[N, C, h, w] -> [N, C, h, w]."""
        average, largest = maps.mean(dim=(2, 3), keepdim=True), maps.amax(dim=(2, 3), keepdim=True)
        maps = maps * (self.channels(average) + self.channels(largest)).sigmoid()
        across = torch.cat([maps.mean(dim=1, keepdim=True), maps.amax(dim=1, keepdim=True)], dim=1)
        return maps * self.places(across).sigmoid()


class ContextResNet(nn.Module):
    """timm's ResNet-18 for one channel with a bottleneck behind the stem and behind each stage.

    The feature is the average of the last map. The view-type embedding of the suite's ViT has no counterpart here.
    """

    channels = (64, 64, 128, 256, 512)
    width = 512

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.backbone: Any = import_timm().create_model("resnet18", in_chans=1, num_classes=0, norm_layer=BatchNorm2d)
        self.bottlenecks = nn.ModuleList([ContextBottleneck(count) for count in self.channels])

    def levels(self, images: Tensor, view: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Normalised images [N, 1, H, W] -> feature [N, 512] and five maps [N, C, h, w], fine ones first."""
        net = self.backbone
        stem = nn.Sequential(net.conv1, net.bn1, net.act1)
        stages = (stem, nn.Sequential(net.maxpool, net.layer1), net.layer2, net.layer3, net.layer4)
        maps: list[Tensor] = []
        for stage, bottleneck in zip(stages, self.bottlenecks, strict=True):
            maps.append(bottleneck(stage(maps[-1] if maps else images)))
        return maps[-1].mean(dim=(2, 3)), maps

    @torch.no_grad()
    def embed(self, images: Tensor, view: Tensor, pool: str = "cls") -> Tensor:
        """Frozen feature of whole images: uint8 [N, 1, H, W] -> float32 [N, 512]; the same for either `pool`."""
        return self.levels(normalise(images), view)[0].float()


class ContextViT(ViewEncoder):
    """The suite's ViT with a bottleneck on the map of patch tokens after 1/4, 2/4, 3/4 and 4/4 of its blocks (ours).

    The CLS token passes by the bottlenecks and is the feature, as in the suite's other joint-embedding methods.
    """

    def __init__(self, config: ModelConfig, size: int, attention: str) -> None:
        super().__init__(config, size, attention)
        self.places = sorted({math.ceil(config.depth * quarter / 4) for quarter in range(1, 5)})
        self.channels = (config.width,) * len(self.places)
        self.bottlenecks = nn.ModuleList([ContextBottleneck(config.width) for _ in self.places])

    def forward(self, images: Tensor, view: Tensor, keep: Tensor | None = None) -> Tensor:
        """Tokens [N, 1 + T, D] after the final norm; see ViewEncoder."""
        assert keep is None, "a map needs all patches"
        return self._tokens_and_maps(images, view)[0]

    def levels(self, images: Tensor, view: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Normalised images [N, 1, H, W] -> feature [N, D] and up to four maps [N, D, h, w], early ones first."""
        tokens, maps = self._tokens_and_maps(images, view)
        return tokens[:, 0], maps

    def _tokens_and_maps(self, images: Tensor, view: Tensor) -> tuple[Tensor, list[Tensor]]:
        tokens, maps = self.first_tokens(images, view), []
        side = self.size // self.patch
        bottlenecks = dict(zip(self.places, self.bottlenecks, strict=True))
        for number, block in enumerate(self.blocks, 1):
            tokens = block(tokens)
            if number in bottlenecks:
                refined = bottlenecks[number](tokens[:, 1:].transpose(1, 2).unflatten(2, (side, side)))
                tokens = torch.cat([tokens[:, :1], refined.flatten(2).transpose(1, 2)], dim=1)
                maps.append(refined)
        return self.norm(tokens), maps
