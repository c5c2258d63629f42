"""The decoder of masked autoencoders: paints hidden patches from the visible tokens.

Blocks see all positions (He et al. 2021, section 3); the output head runs on hidden tokens only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.config import ModelConfig
from core.data.types import View
from core.models.vit import block_flops, build_blocks, gather_tokens, init_linear, layer_norm, sincos_positions


def decoder_positions(config: ModelConfig, patches: int) -> nn.Parameter:
    """Learned or fixed sine-cosine positions [1, patches, D] of a decoder."""
    width = config.decoder_width or config.width
    if config.positions == "sincos":
        return nn.Parameter(sincos_positions(width, int(patches**0.5)), requires_grad=False)
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(1, patches, width), std=0.02))


class PatchDecoder(nn.Module):
    """Decoder from [N, 1 + K, D] encoder tokens to the pixels of hidden patches; those that are left out are not seen.

    Learned (or sine-cosine) positions for CLS + patches; the view-type embedding is added to every token
    (arXiv 2507.02987, code).
    """

    def __init__(self, config: ModelConfig, patches: int, attention: str) -> None:
        super().__init__()
        self.model_config = config
        width = config.decoder_width or config.width
        heads = config.decoder_heads or config.heads
        self.width = width
        self.project = nn.Linear(config.width, width) if width != config.width else nn.Identity()
        self.mask_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.cls_position = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = decoder_positions(config, patches)
        self.view_embed = nn.Parameter(torch.randn(len(View), width) * 0.02) if config.view_embedding else None
        self.blocks = build_blocks(width, config.decoder_depth, heads, config.mlp_ratio, config.qk_norm, attention)
        self.norm = layer_norm(width)
        self.head = nn.Linear(width, config.patch**2)
        init_linear(self)

    def forward(self, tokens: Tensor, keep: Tensor, hidden: Tensor, view: Tensor) -> Tensor:
        """tokens [N, 1 + K, D], keep [N, K], hidden [N, P], view [N] -> pixels [N, P, patch * patch]."""
        tokens = self.project(tokens)
        positions = self.pos_embed.expand(len(tokens), -1, -1)
        visible = tokens[:, 1:] + gather_tokens(positions, keep)
        masked = self.mask_token + gather_tokens(positions, hidden)
        # Attention ignores order, so hidden tokens simply follow the visible ones: no un-shuffling is needed.
        sequence = torch.cat([tokens[:, :1] + self.cls_position, visible, masked.to(visible.dtype)], dim=1)
        if self.view_embed is not None:
            sequence = sequence + self.view_embed[view].unsqueeze(1)
        decoded = self.blocks(sequence)[:, 1 + keep.shape[1] :]
        return self.head(self.norm(decoded))

    def flops(self, visible: int, painted: int) -> float:
        """Floating-point operations of one image's forward pass: `painted` patches from `visible` ones."""
        config, tokens = self.model_config, visible + 1 + painted
        project = 2 * (visible + 1) * config.width * self.width if self.width != config.width else 0
        head = 2 * painted * self.width * config.patch**2
        return project + head + config.decoder_depth * block_flops(tokens, self.width, config.mlp_ratio)
