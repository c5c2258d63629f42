"""MVMAE-V2T: the caption term against a loop, what a word may see, missing reports, one process and two."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed as dist

from core.compose import compose, to_trial
from core.engines.accumulation import parts
from core.errors import ConfigError
from core.losses.caption import caption
from core.methods.base import METHODS
from core.methods.mvmae_v2t import MVMAEV2T, MVMAEV2TConfig
from core.models.masking import random_masks
from core.models.vit import normalise
from tests.core.batches import make_batch, make_context
from tests.core.engines.ranks import on_two

LOGITS = torch.randn(5, 4, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
REPORT = torch.tensor([[5, 6, 2, 0], [4, 2, 0, 0], [0, 0, 0, 0], [3, 5, 6, 2], [2, 0, 0, 0]])


def build(**settings: Any) -> MVMAEV2T:
    torch.manual_seed(0)
    method: MVMAEV2T = METHODS.build(MVMAEV2TConfig(caption_depth=1, **settings), make_context())
    return method


def by_hand() -> float:
    means = []
    for logits, report in zip(LOGITS.tolist(), REPORT.tolist(), strict=True):
        said = [
            -row[word] + math.log(sum(math.exp(x) for x in row))
            for row, word in zip(logits, report, strict=True)
            if word != 0
        ]
        if said:
            means.append(sum(said) / len(said))
    return sum(means) / len(means)


def test_the_term_is_the_mean_over_images_with_a_report_of_the_mean_over_words() -> None:
    assert caption(LOGITS, REPORT).item() == pytest.approx(by_hand(), rel=1e-12)
    assert torch.autograd.gradcheck(lambda x: caption(x, REPORT), (LOGITS.clone().requires_grad_(),))
    assert caption(LOGITS, torch.zeros_like(REPORT)).item() == 0
    perfect = 1e3 * torch.nn.functional.one_hot(REPORT, 7).double()
    assert caption(perfect, REPORT).item() == pytest.approx(0, abs=1e-12)


def save_parts(folder: Path) -> None:
    dist.init_process_group("gloo")
    mine = slice(0, 3) if dist.get_rank() == 0 else slice(3, 5)
    logits = LOGITS[mine].clone().requires_grad_()
    loss = caption(logits, REPORT[mine])
    loss.backward()
    torch.save({"loss": loss.detach(), "gradient": logits.grad}, folder / f"{dist.get_rank()}.pt")
    dist.destroy_process_group()


def test_two_processes_find_what_one_does(tmp_path: Path) -> None:
    on_two((save_parts, (tmp_path,)))
    saved = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert sum(part["loss"].item() for part in saved) / 2 == pytest.approx(by_hand(), rel=1e-12)
    logits = LOGITS.clone().requires_grad_()
    caption(logits, REPORT).backward()
    torch.testing.assert_close(torch.cat([part["gradient"] for part in saved]) / 2, logits.grad)


def test_a_word_sees_the_words_before_it_and_every_visible_token() -> None:
    decoder = build().captioner.eval()
    tokens, report = torch.randn(1, 5, 32).requires_grad_(), torch.tensor([[5, 6, 7, 8, 2, 0]])
    logits = decoder(tokens, report)
    for place in range(6):
        changed = report.clone()
        changed[0, place] = 9
        alike = [torch.allclose(a, b, atol=1e-6) for a, b in zip(logits[0], decoder(tokens, changed)[0], strict=True)]
        assert alike == [row <= place for row in range(6)]
    logits[0, 0].square().sum().backward()
    assert tokens.grad is not None
    assert (tokens.grad.abs().sum(2) > 0).all()


def test_the_loss_is_a_mean_of_reconstruction_and_caption_of_each_images_own_report() -> None:
    method, batch = build(weight=2.0, caption_share=0.25), make_batch([2, 1, 2])
    found = {name: value.item() for name, value in method(batch, 0, torch.Generator().manual_seed(3)).items()}
    assert found["loss"] == pytest.approx(
        0.75 * found["reconstruction"] + 0.25 * found["caption"] + 2 * found["alignment"], rel=1e-5
    )
    keep, _ = random_masks(batch.slot, batch.slots, 16, 4, torch.Generator().manual_seed(3))
    tokens = method.encoder(normalise(batch.images), batch.view, keep)
    terms = [
        caption(method.captioner(tokens[i : i + 1], batch.report[s : s + 1]), batch.report[s : s + 1]).item()
        for i, s in enumerate(batch.study.tolist())
        if batch.report[s].any()
    ]
    assert len(terms) == 3
    assert found["caption"] == pytest.approx(sum(terms) / 3, rel=1e-5)


def test_a_batch_without_reports_or_pairs_trains_on_and_leaves_no_parameter_out() -> None:
    method, batch = build(), make_batch([1, 1, 1])
    found = method(replace(batch, report=torch.zeros_like(batch.report)), 0, torch.Generator().manual_seed(0))
    found["loss"].backward()
    assert found["caption"].item() == 0
    assert all(p.grad is not None for p in method.parameters())


def test_only_the_first_words_are_predicted_where_that_is_asked_for() -> None:
    method, batch = build(caption_words=1), make_batch([2, 2])
    first = replace(batch, report=batch.report[:, :1])
    one, other = (method(b, 0, torch.Generator().manual_seed(0))["loss"].item() for b in (batch, first))
    assert one == other


def test_parts_of_a_batch_take_their_reports_along() -> None:
    batch = make_batch([2, 1, 2, 1])
    found = [part.report for part, _ in parts(batch, 2, torch.Generator())]
    assert torch.equal(torch.stack(found), torch.stack([batch.report[0::2], batch.report[1::2]]))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "captions reports and data.reports=false\n  -> set data.reports=true"),
        (["data.reports=true", "pairing=random"], "pairing=random brings images of other studies"),
        (["data.reports=true", "method.caption_share=1"], r"method.caption_share=1.0 is outside \(0, 1\)"),
        (["data.reports=true", "method.caption_depth=0"], "method.caption_depth=0 is outside"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        to_trial(compose(["method=mvmae_v2t", *overrides]))


def test_data_without_reports_are_refused() -> None:
    context = replace(make_context(), vocabulary=0, report_words=0)
    with pytest.raises(ConfigError, match="captions reports and the data has none"):
        METHODS.build(MVMAEV2TConfig(), context)
