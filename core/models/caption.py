"""A causal caption decoder over an encoder's tokens (MVMAE-V2T, arXiv 2511.22294, code: 4 layers)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.data.reports import PADDING, START


class CaptionDecoder(nn.Module):
    """Which word comes next: self-attention among the words before, cross-attention on tokens [N, K, D], pre-norm.

    words: numbers that a word may have. length: the most words of a report.
    """

    def __init__(self, width: int, depth: int, heads: int, words: int, length: int) -> None:
        super().__init__()
        self.width, self.depth, self.length = width, depth, length
        self.words = nn.Embedding(words, width, padding_idx=PADDING)
        self.positions = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, length, width), std=0.02))
        layer = nn.TransformerDecoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerDecoder(layer, depth, nn.LayerNorm(width))
        self.head = nn.Linear(width, words)
        nn.init.normal_(self.words.weight, std=0.02)

    def forward(self, tokens: Tensor, report: Tensor) -> Tensor:
        """tokens [N, K, D], report [N, R] int64 -> logits [N, R, words]; row r has seen the words before r alone."""
        before = functional.pad(report[:, :-1], (1, 0), value=START)
        length = report.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=report.device).triu(1)
        shown = self.words(before) + self.positions[:, :length]
        return self.head(self.layers(shown, tokens, tgt_mask=causal, tgt_is_causal=True))

    def flops(self, memory: int) -> float:
        """Floating-point operations of one image's forward pass over `memory` tokens, for a report of full length."""
        width, length = self.width, self.length
        row_by_row = 2 * length * width * width * (4 + 2 + 8) + 4 * memory * width * width
        attention = 4 * length * (length + memory) * width
        return self.depth * (row_by_row + attention) + 2 * length * width * self.head.out_features
