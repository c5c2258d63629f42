"""CrossMAE's decoder (Fu et al. 2024, arXiv 2401.14391, section 3): hidden patches look at visible ones only.

Each hidden patch is painted by itself, so any share of them can be painted, at a cost that grows with the share. As in
the released code keys and values are made of the encoder's tokens, without positions of the decoder. Its weighting of
the feature maps of all encoder blocks (section 3.3) is left out: the encoder's last tokens serve every block.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.config import ModelConfig
from core.data.types import View
from core.models.decoder import decoder_positions
from core.models.timm_import import import_timm
from core.models.vit import gather_tokens, init_linear, layer_norm


class CrossAttention(nn.Module):
    """Attention of queries [N, P, D] over memory [N, K, M] -> [N, P, D]; `attention` is "sdpa" or "plain"."""

    def __init__(self, width: int, memory: int, heads: int, qk_norm: bool, attention: str) -> None:
        super().__init__()
        self.heads, self.fused = heads, attention == "sdpa"
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(memory, 2 * width)
        self.query_norm: nn.Module = layer_norm(width // heads) if qk_norm else nn.Identity()
        self.key_norm: nn.Module = layer_norm(width // heads) if qk_norm else nn.Identity()
        self.project = nn.Linear(width, width)

    def _split(self, tokens: Tensor, parts: int) -> tuple[Tensor, ...]:
        """[N, P, parts * D] -> `parts` times [N, heads, P, D / heads]."""
        count, length, width = tokens.shape
        heads = tokens.reshape(count, length, parts, self.heads, width // parts // self.heads)
        return heads.permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """Attended values; see the class."""
        (query,) = self._split(self.query(queries), 1)
        key, value = self._split(self.key_value(memory), 2)
        query, key = self.query_norm(query), self.key_norm(key)
        if self.fused:
            attended = functional.scaled_dot_product_attention(query, key, value)
        else:
            scores = query * query.shape[-1] ** -0.5 @ key.transpose(2, 3)
            attended = scores.softmax(dim=-1) @ value
        return self.project(attended.transpose(1, 2).reshape(queries.shape))


class CrossBlock(nn.Module):
    """A block without self-attention: cross-attention and an MLP, each behind a norm and beside a shortcut."""

    def __init__(self, width: int, memory: int, heads: int, mlp_ratio: float, qk_norm: bool, attention: str) -> None:
        super().__init__()
        layers: Any = import_timm().layers
        self.norm1, self.norm2 = layer_norm(width), layer_norm(width)
        self.attn = CrossAttention(width, memory, heads, qk_norm, attention)
        self.mlp = layers.Mlp(width, int(width * mlp_ratio))

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """queries [N, P, D], memory [N, K, M] -> [N, P, D]."""
        queries = queries + self.attn(self.norm1(queries), memory)
        return queries + self.mlp(self.norm2(queries))


class CrossBlocks(nn.Sequential):
    """A stack of CrossBlock that all look at the same memory."""

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:  # type: ignore[override]
        """queries [N, P, D], memory [N, K, M] -> [N, P, D]."""
        for block in self:
            queries = block(queries, memory)
        return queries


class CrossDecoder(nn.Module):
    """Decoder from [N, 1 + K, D] encoder tokens to the pixels of some hidden patches.

    A query is the mask token + the position of its patch + the view-type embedding.
    """

    def __init__(self, config: ModelConfig, patches: int, attention: str) -> None:
        super().__init__()
        self.model_config = config
        self.width = width = config.decoder_width or config.width
        heads = config.decoder_heads or config.heads
        self.mask_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.pos_embed = decoder_positions(config, patches)
        self.view_embed = nn.Parameter(torch.randn(len(View), width) * 0.02) if config.view_embedding else None
        self.blocks = CrossBlocks(
            *(
                CrossBlock(width, config.width, heads, config.mlp_ratio, config.qk_norm, attention)
                for _ in range(config.decoder_depth)
            )
        )
        self.norm = layer_norm(width)
        self.head = nn.Linear(width, config.patch**2)
        init_linear(self)

    def forward(self, tokens: Tensor, keep: Tensor, hidden: Tensor, view: Tensor) -> Tensor:
        """tokens [N, 1 + K, D], keep (not needed), hidden [N, P], view [N] -> pixels [N, P, patch * patch]."""
        queries = self.mask_token + gather_tokens(self.pos_embed.expand(len(tokens), -1, -1), hidden)
        if self.view_embed is not None:
            queries = queries + self.view_embed[view].unsqueeze(1)
        return self.head(self.norm(self.blocks(queries.to(tokens.dtype), tokens)))

    def flops(self, visible: int, painted: int) -> float:
        """Floating-point operations of one image's forward pass: `painted` patches from `visible` ones."""
        config, width, memory = self.model_config, self.width, visible + 1
        queries = 2 * painted * width * width * (2 + 2 * config.mlp_ratio)
        keys_and_values = 2 * memory * config.width * 2 * width
        attention = 4 * painted * memory * width
        head = 2 * painted * width * config.patch**2
        return head + config.decoder_depth * (queries + keys_and_values + attention)
