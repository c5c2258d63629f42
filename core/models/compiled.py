"""torch.compile of transformer blocks, one by one: everything else of a method stays eager.

A block is compiled once for all blocks of its shape, since Dynamo takes parameters as inputs of the graph. Compiling a
whole method instead took 75 s for its first step on the CPU, and again for every new number of packed images.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from core.models.cross_decoder import CrossBlock
from core.models.timm_import import import_timm

BACKEND = "inductor"


def compile_blocks(method: nn.Module) -> None:
    """Compile every stack of blocks (timm's, or those with cross-attention) in `method` in place.

    Parameters, names of the state dict and hooks stay.
    The first forward and backward pass compiles: once for a shape of block and of token sequence, whatever the number
    of packed images (but for a single image, which torch never takes for one of many). Works inside
    DistributedDataParallel, whose own splitting of graphs is for whole methods and switched off: gradients are sent
    block by block as it is.
    """
    blocks = (import_timm().models.vision_transformer.Block, CrossBlock)
    torch._dynamo.config.optimize_ddp = False
    for stack in method.modules():
        if isinstance(stack, nn.Sequential) and any(isinstance(layer, blocks) for layer in stack):
            stack.register_forward_pre_hook(_any_batch_size)
            for layer in stack:
                layer.compile(fullgraph=True, backend=BACKEND)


def _any_batch_size(_stack: nn.Module, arguments: tuple[Any, ...]) -> None:
    """Let Dynamo know that the number of images varies, so that a new one is no reason to compile again."""
    for tokens in arguments:
        torch._dynamo.maybe_mark_dynamic(tokens, 0)
