"""The encoder: a vision transformer on timm's blocks that only ever sees the patches it is given.

Layout and names follow timm's VisionTransformer with `no_embed_class=True`, so that a state dict exports
without translation. The view-type embedding (arXiv 2507.02987, code) is added to patch tokens, not to CLS.
"""

from __future__ import annotations

import copy
import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.config import ModelConfig
from core.data.types import View
from core.models.timm_import import import_timm

# Normalisation of pixels in [0, 1]: the constants of the MVMAE code (methods: pixel target).
PIXEL_MEAN, PIXEL_STD = 0.5056, 0.252


def normalise(images: Tensor) -> Tensor:
    """uint8 in [0, 255] or float in [0, 1] -> float32, (x - mean) / std."""
    scaled = images.float() / 255 if images.dtype == torch.uint8 else images
    return (scaled - PIXEL_MEAN) / PIXEL_STD


def patchify(images: Tensor, patch: int) -> Tensor:
    """[N, 1, H, W] -> [N, T, patch * patch], patches in row order, pixels of a patch in row order."""
    n, _, height, width = images.shape
    grid = images.reshape(n, height // patch, patch, width // patch, patch)
    return grid.permute(0, 1, 3, 2, 4).reshape(n, -1, patch * patch)


def unpatchify(patches: Tensor, patch: int) -> Tensor:
    """[N, T, patch * patch] -> [N, 1, H, W] of square images; the inverse of `patchify`."""
    n, count, _ = patches.shape
    side = math.isqrt(count)
    grid = patches.reshape(n, side, side, patch, patch).permute(0, 1, 3, 2, 4)
    return grid.reshape(n, 1, side * patch, side * patch)


def gather_tokens(tokens: Tensor, keep: Tensor) -> Tensor:
    """tokens [N, T, D], keep [N, K] int64 -> [N, K, D]."""
    return torch.gather(tokens, 1, keep.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def sincos_positions(width: int, side: int) -> Tensor:
    """Fixed 2-D sine-cosine positions [1, side * side, width] (He et al. 2021, code). width % 4 == 0."""
    frequency = 1.0 / 10000 ** (torch.arange(width // 4, dtype=torch.float64) / (width / 4))
    angle = torch.arange(side, dtype=torch.float64)[:, None] * frequency[None]
    axis = torch.cat([angle.sin(), angle.cos()], dim=1)
    columns = axis[None, :, :].expand(side, side, -1)
    rows = axis[:, None, :].expand(side, side, -1)
    return torch.cat([columns, rows], dim=-1).reshape(1, side * side, width).float()


def build_blocks(width: int, depth: int, heads: int, mlp_ratio: float, qk_norm: bool, attention: str) -> nn.Sequential:
    """`depth` timm blocks; attention is "sdpa" (fused kernel) or "plain" (matrix products)."""
    block = import_timm().models.vision_transformer.Block
    norm: Any = partial(import_timm().layers.LayerNorm, eps=1e-6)
    blocks: list[Any] = [
        block(width, heads, mlp_ratio, qkv_bias=True, qk_norm=qk_norm, norm_layer=norm) for _ in range(depth)
    ]
    for built in blocks:
        built.attn.fused_attn = attention == "sdpa"
    return nn.Sequential(*blocks)


def layer_norm(width: int) -> nn.Module:
    """timm's LayerNorm with the epsilon of its vision transformers."""
    return import_timm().layers.LayerNorm(width, eps=1e-6)


def init_linear(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases of linear layers (He et al. 2021, code)."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def block_flops(tokens: int, width: int, mlp_ratio: float) -> float:
    """Floating-point operations of one block's forward pass on one image (multiply-add = 2)."""
    projections = 2 * tokens * width * width * (4 + 2 * mlp_ratio)
    return projections + 4 * tokens * tokens * width


class PatchEmbed(nn.Module):
    """Linear projection of flattened patches, stored as the convolution that timm stores."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, width, patch, patch)
        nn.init.xavier_uniform_(self.proj.weight.view(width, -1))

    def forward(self, patches: Tensor) -> Tensor:
        """[N, K, patch * patch] -> [N, K, D]."""
        return functional.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


class ViewEncoder(nn.Module):
    """ViT over visible patches of packed views.

    forward(images, view, keep): images [N, 1, H, W] normalised, view [N] int64, keep [N, K] int64 patch
    indices or None for all T -> tokens [N, 1 + K, D], CLS first, after the final norm.
    """

    def __init__(self, config: ModelConfig, size: int, attention: str) -> None:
        super().__init__()
        self.model_config, self.size = config, size
        self.width, self.patch = config.width, config.patch
        self.tokens = (size // config.patch) ** 2
        self.patch_embed = PatchEmbed(config.patch, config.width)
        self.cls_token = nn.Parameter(torch.randn(1, 1, config.width) * 0.02)
        self.pos_embed = self._positions(config)
        self.view_embed = nn.Parameter(torch.randn(len(View), config.width) * 0.02) if config.view_embedding else None
        self.blocks = build_blocks(
            config.width, config.depth, config.heads, config.mlp_ratio, config.qk_norm, attention
        )
        self.norm = layer_norm(config.width)
        init_linear(self.blocks)

    def _positions(self, config: ModelConfig) -> nn.Parameter:
        if config.positions == "sincos":
            fixed = sincos_positions(config.width, self.size // config.patch)
            return nn.Parameter(fixed, requires_grad=False)
        return nn.Parameter(nn.init.trunc_normal_(torch.empty(1, self.tokens, config.width), std=0.02))

    def first_tokens(self, images: Tensor, view: Tensor, keep: Tensor | None = None) -> Tensor:
        """What enters the blocks: CLS and the embedded visible patches, [N, 1 + K, D]."""
        patches = patchify(images, self.patch)
        positions = self.pos_embed.expand(len(images), -1, -1)
        if keep is not None:
            patches, positions = gather_tokens(patches, keep), gather_tokens(positions, keep)
        tokens = self.patch_embed(patches) + positions
        if self.view_embed is not None:
            tokens = tokens + self.view_embed[view].unsqueeze(1)
        return torch.cat([self.cls_token.expand(len(images), -1, -1), tokens], dim=1)

    def forward(self, images: Tensor, view: Tensor, keep: Tensor | None = None) -> Tensor:
        """Tokens of the visible patches; see the class."""
        return self.norm(self.blocks(self.first_tokens(images, view, keep)))

    def features(self, images: Tensor, view: Tensor, pool: str) -> Tensor:
        """Features [N, D] float32 of whole normalised images: "cls", the CLS token | "mean", of the patch tokens."""
        tokens = self(images, view)
        return (tokens[:, 0] if pool == "cls" else tokens[:, 1:].mean(1)).float()

    @torch.no_grad()
    def embed(self, images: Tensor, view: Tensor, pool: str = "cls") -> Tensor:
        """Frozen feature of whole images: uint8 [N, 1, H, W], view [N] -> float32 [N, D].

        pool: "cls" takes the CLS token, "mean" the mean of the patch tokens.
        """
        return self.features(normalise(images), view, pool)

    def layer_of(self, name: str) -> int:
        """Layer of a parameter for layer-wise rates: 0 the stem, i + 1 block i; the last norm is of the last block."""
        if name.startswith("blocks."):
            return int(name.split(".")[1]) + 1
        return self.model_config.depth if name.startswith("norm.") else 0

    def trainable_copy(self) -> ViewEncoder:
        """A copy with these weights in which all that is not fixed by design trains, whatever a method has frozen."""
        twin = copy.deepcopy(self).requires_grad_(True)
        twin.pos_embed.requires_grad_(self.model_config.positions != "sincos")
        return twin

    def flops(self, visible: int) -> float:
        """Floating-point operations of one image's forward pass with `visible` patches."""
        config = self.model_config
        embed = 2 * visible * config.patch**2 * config.width
        return embed + config.depth * block_flops(visible + 1, config.width, config.mlp_ratio)
