"""What CrossMAE's decoder saves: cross-attention only, a share of the hidden patches painted, beside self-attention.

All rows are the same optimiser step on the same images in one run, so that they may be compared with each other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from core.bench.step import bench_context, check_masked, engine_seconds, synthetic_batch
from core.config import TrialConfig
from core.methods.base import METHODS
from core.methods.mvmae import MVMAE
from core.telemetry import peak_memory
from core.trainer import pick_device

# (method.decoder, method.predict_ratio). CrossMAE's default of a quarter of all patches is a third of 75 % hidden.
SETTINGS = (("self", 1.0), ("self", 0.33), ("cross", 1.0), ("cross", 0.33), ("cross", 0.1))


def bench_decoder(config: TrialConfig, repeats: int = 10) -> list[dict[str, Any]]:
    """Rows (decoder, predict_ratio, decoder_gflops, decoder_share, ms_per_step, peak_memory_bytes, flops_of_self,
    time_of_self).

    decoder_gflops: of one image's forward pass. decoder_share: of the whole forward pass. flops_of_self and
    time_of_self: of the whole step, as a share of the first row's. Raises ConfigError for a method without a decoder,
    and for an image with too few patches.
    """
    check_masked(config, "decoder")
    device = pick_device(config.runtime.device)
    context = bench_context(config, device)
    batch = synthetic_batch(config.train.batch_size, config.data.size, 1, device)
    rows: list[dict[str, Any]] = []
    for decoder, ratio in SETTINGS:
        method: MVMAE = METHODS.build(replace(config.method, decoder=decoder, predict_ratio=ratio), context)
        flops = method.forward_flops()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        seconds, total = engine_seconds(config, method, batch, device, repeats), sum(flops.values())
        row = {
            "decoder": decoder,
            "predict_ratio": ratio,
            "decoder_gflops": flops["decoder"] / 1e9,
            "decoder_share": flops["decoder"] / total,
            "ms_per_step": seconds * 1e3,
            "peak_memory_bytes": peak_memory(device),
            "flops_of_self": total,
            "time_of_self": seconds,
        }
        rows.append(row)
    first = dict(rows[0])
    return [{**row, **{name: row[name] / first[name] for name in ("flops_of_self", "time_of_self")}} for row in rows]
