"""Images per second of one optimiser step, beside a plain implementation of the same step in the same run.

The plain one is what a first version looks like: a Python loop over views, a Python loop over samples for
the masks, all tokens encoded and the hidden ones dropped afterwards, the head on every token, fp32, and
an optimiser without fusion. Both take the same images and end in the same reconstruction loss.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from core.config import TrialConfig
from core.engines.base import ENGINES
from core.errors import ConfigError
from core.methods.base import METHODS, MethodContext, ViewBatch
from core.methods.mvmae import MVMAE
from core.models.compiled import compile_blocks
from core.models.vit import gather_tokens, normalise, patchify
from core.telemetry import model_flops_utilisation, peak_memory, peak_tflops
from core.trainer import pick_device, step_generator


def synthetic_batch(studies: int, size: int, labels: int, device: torch.device) -> ViewBatch:
    """A batch of studies with a frontal and a lateral view each, of random pixels."""
    n = 2 * studies
    generator = torch.Generator(device).manual_seed(0)
    first = torch.arange(0, n, 2, device=device)
    return ViewBatch(
        images=torch.rand(n, 1, size, size, generator=generator, device=device),
        view=torch.arange(n, device=device) % 2,
        study=torch.arange(n, device=device) // 2,
        pairs=torch.stack([first, first + 1], dim=1),
        labels=torch.randint(0, 2, (studies, labels), generator=generator, device=device).float(),
        index=torch.arange(studies, device=device),
        labelled=torch.ones(studies, dtype=torch.bool, device=device),
        slot=torch.arange(n, device=device),
        slots=n,
        images_per_study=(2,) * studies,
        pairs_per_study=(1,) * studies,
        report=torch.zeros((studies, 0), dtype=torch.int64, device=device),
    )


class PlainStep:
    """The plain implementation of a masked reconstruction step, with the modules of a built method."""

    def __init__(self, method: MVMAE, device: torch.device) -> None:
        self.method = method.to(device)
        self.optimiser = torch.optim.AdamW(method.parameters(), lr=1e-4, foreach=False, fused=False)

    def view_loss(self, images: Tensor, view: Tensor) -> Tensor:
        """Reconstruction loss of one view's images."""
        encoder, decoder = self.method.encoder, self.method.decoder
        pixels = normalise(images)
        masks = [torch.randperm(encoder.tokens) for _ in range(len(images))]
        order = torch.stack(masks).to(images.device)
        keep, hidden = order[:, : self.method.visible], order[:, self.method.visible :][:, : self.method.painted]
        tokens = encoder(pixels, view)
        kept = torch.cat([tokens[:, :1], gather_tokens(tokens[:, 1:], keep)], dim=1)
        everything = decoder(kept, keep, hidden, view)
        target = gather_tokens(patchify(pixels, encoder.patch), hidden)
        return (everything - target).square().mean()

    def __call__(self, batch: ViewBatch) -> None:
        """One optimiser step."""
        losses = [self.view_loss(batch.images[batch.view == v], batch.view[batch.view == v]) for v in (0, 1)]
        torch.stack(losses).mean().backward()
        nn.utils.clip_grad_norm_(self.method.parameters(), 1.0, foreach=False)
        self.optimiser.step()
        self.optimiser.zero_grad()


def timed(run: Callable[[ViewBatch], None], batch: ViewBatch, repeats: int) -> float:
    """Median seconds of `run(batch)` after three runs to warm up; waits for the device around each."""
    cuda = batch.images.is_cuda
    seconds = []
    for _ in range(repeats + 3):
        if cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        run(batch)
        if cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds[3:])[repeats // 2]


def bench_context(config: TrialConfig, device: torch.device) -> MethodContext:
    """A context with one label and 1000 steps."""
    attention = config.runtime.attention
    attention = ("sdpa" if device.type == "cuda" else "plain") if attention == "auto" else attention
    return MethodContext(config.model, config.data.size, ("label",), 1000, 100, attention)


def check_masked(config: TrialConfig, bench: str) -> None:
    """Raise ConfigError for a method without a masked decoder."""
    if not issubclass(METHODS.get(config.method.name).build, MVMAE):
        raise ConfigError(
            f"bench {bench} times masked autoencoders, and method={config.method.name} is none",
            "use method=mvmae or method=mae",
        )


def engine_seconds(config: TrialConfig, method: MVMAE, batch: ViewBatch, device: torch.device, repeats: int) -> float:
    """Median seconds of one optimiser step of `method` by the trial's engine."""
    engine = ENGINES.build(config.engine, device)
    engine.prepare(method, config.optim, config.train)
    if config.runtime.compile:
        compile_blocks(method)
    generator = step_generator(device, 0, 0, 0)

    def step(shown: ViewBatch) -> None:
        engine.step(shown, 0, 1e-4, generator)

    seconds = timed(step, batch, repeats)
    engine.close()
    return seconds


def bench_step(config: TrialConfig, repeats: int = 10) -> list[dict[str, Any]]:
    """Rows (name, images_per_second, mfu, ms_per_step, data_wait_seconds, peak_memory_bytes, times_plain).

    Raises ConfigError for a method without a masked decoder: the plain step is a masked autoencoder's.
    """
    check_masked(config, "step")
    device = pick_device(config.runtime.device)
    context = bench_context(config, device)
    method: MVMAE = METHODS.build(config.method, context)
    batch = synthetic_batch(config.train.batch_size, config.data.size, 1, device)
    flops = sum(method.forward_flops().values())
    peak = peak_tflops(config.runtime, device, config.train.precision)

    def row(name: str, seconds: float) -> dict[str, Any]:
        rate = len(batch.images) / seconds
        return {
            "name": name,
            "images_per_second": rate,
            "mfu": model_flops_utilisation(rate, flops, peak),
            "ms_per_step": seconds * 1e3,
            "data_wait_seconds": 0.0,
            "peak_memory_bytes": peak_memory(device),
        }

    rows = [row("plain", timed(PlainStep(method, device), batch, repeats))]
    seconds = engine_seconds(config, METHODS.build(config.method, context), batch, device, repeats)
    compiled = " compiled" if config.runtime.compile else ""
    rows.append(row(f"viewpair {config.train.precision} {context.attention}{compiled}", seconds))
    for entry in rows:
        entry["times_plain"] = entry["images_per_second"] / rows[0]["images_per_second"]
    return rows
