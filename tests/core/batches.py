"""Hand-made batches of views for tests of methods and losses."""

from __future__ import annotations

import torch

from core.config import ModelConfig
from core.methods.base import MethodContext, ViewBatch

TINY = ModelConfig(name="test", patch=8, width=32, depth=2, heads=2, decoder_width=16, decoder_depth=1, decoder_heads=2)

VOCABULARY, REPORT_WORDS = 12, 6


def make_batch(views_per_study: list[int], size: int = 32, labels: int = 3, seed: int = 0) -> ViewBatch:
    """Studies with the given numbers of images (1 to 3), every two images of a study a pair."""
    generator = torch.Generator().manual_seed(seed)
    study = torch.tensor([s for s, n in enumerate(views_per_study) for _ in range(n)])
    starts = [sum(views_per_study[:s]) for s in range(len(views_per_study))]
    pairs = [
        (start + i, start + j)
        for start, n in zip(starts, views_per_study, strict=True)
        for i in range(n)
        for j in range(i + 1, n)
    ]
    n, b = len(study), len(views_per_study)
    place = torch.tensor([i for n in views_per_study for i in range(n)])
    return ViewBatch(
        images=torch.rand(n, 1, size, size, generator=generator),
        view=place % 3,
        study=study,
        pairs=torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2),
        labels=torch.randint(0, 2, (b, labels), generator=generator).float(),
        index=torch.arange(b),
        labelled=torch.ones(b, dtype=torch.bool),
        slot=study * 3 + place,
        slots=3 * b,
        images_per_study=tuple(views_per_study),
        pairs_per_study=tuple(n * (n - 1) // 2 for n in views_per_study),
        report=make_reports(b, generator),
    )


def make_reports(studies: int, generator: torch.Generator) -> torch.Tensor:
    """[studies, 6] words 4 to 11 of reports of 2, 4 and no words in turn, their end (2) and padding (0)."""
    report = torch.randint(4, VOCABULARY, (studies, REPORT_WORDS), generator=generator)
    length = (torch.arange(studies) * 2 + 2) % REPORT_WORDS
    place = torch.arange(REPORT_WORDS)
    report = report.masked_fill(place > length[:, None], 0).masked_fill(place == length[:, None], 2)
    return report.masked_fill(length[:, None] == 0, 0)


def make_context(size: int = 32, labels: int = 3, total_steps: int = 100) -> MethodContext:
    """A context around the tiny model."""
    return MethodContext(
        TINY, size, tuple(f"L{i}" for i in range(labels)), total_steps, 10, "plain", VOCABULARY, REPORT_WORDS
    )
