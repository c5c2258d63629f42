"""Saliency maps: what they are by definition, and that they point at a planted patch; pointing game and IoU by hand."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from core.data.store import StudyStore
from core.evaluation.base import Evaluated, Skipped
from core.evaluation.kinds.localisation import LocalisationConfig, box_mask, localisation, map_iou, pointing
from core.evaluation.kinds.saliency import SaliencyConfig, saliency, scaled, surest
from core.evaluation.saliency import attention_map, gradient_map
from core.models.vit import normalise
from tests.core.evaluation.spotted import SIZE, TokenEncoder, spotted_context, spotted_store, tiny_encoder


class Block(nn.Module):
    """A block that does nothing, after a norm that does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.Identity()

    def forward(self, tokens):
        return self.norm1(tokens)


class SummingEncoder(TokenEncoder):
    """CLS is the sum of the squares of the patches as they leave the block's norm."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block())

    def forward(self, images, view):
        tokens = self.blocks(super().forward(images, view))
        return torch.cat([(tokens[:, 1:].clamp(min=-1) + 1).square().sum(1, keepdim=True), tokens[:, 1:]], dim=1)


@pytest.fixture(scope="module")
def spotted(tmp_path_factory: pytest.TempPathFactory) -> StudyStore:
    return spotted_store(tmp_path_factory.mktemp("boxed"), train=60)


def pictures(count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randint(
        0, 256, (count, 1, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return images, torch.arange(count) % 3


def real_method() -> nn.Module:
    method = nn.Module()
    method.encoder = tiny_encoder()
    return method


def test_the_gradient_map_is_what_scaling_a_patch_changes_by_finite_differences() -> None:
    method, (images, view) = real_method(), pictures(1)
    slopes = torch.randn(1, 16, generator=torch.Generator().manual_seed(1))
    found = gradient_map(method, images, view, slopes, "cls").flatten()
    factor, norm = torch.ones(1, 17, 1), method.encoder.blocks[-1].norm1
    handle = norm.register_forward_hook(lambda _module, _inputs, output: output * factor)
    changes = []
    with torch.no_grad():
        for patch in range(1, 17):
            logits = []
            for step in (0.02, -0.02):
                factor[:] = 1
                factor[:, patch] += step
                logits.append(float(method.encoder(normalise(images), view)[0, 0] @ slopes[0]))
            changes.append((logits[0] - logits[1]) / 0.04)
    handle.remove()
    np.testing.assert_allclose(found.numpy(), np.maximum(changes, 0), rtol=0.02, atol=2e-4)
    assert max(changes) > 0.01
    assert min(changes) < -0.01


def test_with_mean_pooling_the_map_is_the_class_activation_map_and_adds_up_to_the_logit() -> None:
    method, (images, view) = real_method(), pictures()
    slopes = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    up, down = (gradient_map(method, images, view, sign * slopes, "mean").sum((1, 2)) for sign in (1, -1))
    feature = method.encoder.embed(images, view, "mean")
    np.testing.assert_allclose(up - down, (feature * slopes).sum(1), rtol=1e-4)


def test_the_attention_map_is_that_of_the_block_itself() -> None:
    method, (images, view) = real_method(), pictures()
    found = attention_map(method, images, view, torch.zeros(3, 16), "cls")
    attention = method.encoder.blocks[-1].attn
    weights = {}
    handle = attention.attn_drop.register_forward_hook(lambda _m, _i, out: weights.update(a=out.detach()))
    with torch.no_grad():
        method.encoder(normalise(images), view)
    handle.remove()
    np.testing.assert_allclose(found.reshape(3, 16), weights["a"].mean(1)[:, 0, 1:], rtol=1e-4)


def test_the_gradient_map_points_at_a_planted_patch(spotted: StudyStore) -> None:
    context = spotted_context(spotted, SummingEncoder(), probe={"strengths": [0.01]})
    outcome = localisation(LocalisationConfig(maps=["gradient"]), context)
    assert isinstance(outcome, Evaluated)
    found = {m.metric: m.value for m in outcome.metrics if not m.label}
    assert found["pointing_gradient"] > 3 * found["chance"]
    assert found["iou_gradient"] > 1.5 * found["chance"]
    assert found["chance"] == pytest.approx(1 / 16, rel=0.05)
    units = pd.read_parquet(io.BytesIO(outcome.files["localisation.parquet"]))
    table = spotted.splits["test"]
    images = np.diff(table.start) @ table.labels
    assert len(units) == 3 * images.sum()
    assert localisation(LocalisationConfig(maps=["gradient"]), context).files == outcome.files


def test_pointing_and_iou_by_hand() -> None:
    maps = np.zeros((4, 4, 4), np.float32)
    maps[0, 1, 1], maps[1, 3, 3], maps[2, :2, :2] = 1.0, 1.0, 0.6
    maps[2, 0, 0] = 1.0
    inside = np.zeros((4, 4, 4), bool)
    inside[:, :2, :2] = True
    assert pointing(maps, inside).tolist() == [1, 0, 1, 0]
    np.testing.assert_allclose(map_iou(maps, inside, 0.5), [1 / 4, 0, 1, 0])
    np.testing.assert_allclose(map_iou(maps, inside, 0.7), [1 / 4, 0, 1 / 4, 0])
    even = np.ones((1, 4, 4), np.float32)
    assert pointing(even, inside[:1]).tolist() == [0.25], "a map without a peak points anywhere"


def test_a_box_holds_the_pixels_whose_middle_is_in_it_and_at_least_one() -> None:
    assert box_mask(np.array([[1, 0, 3, 2]], np.float32), 4).nonzero()[1].tolist() == [1, 2, 1, 2]
    assert np.argwhere(box_mask(np.array([[3.6, 2.1, 3.9, 2.3]], np.float32), 4)).tolist() == [[2, 3]]
    assert box_mask(np.array([[0, 0, 1, 1], [3, 3, 4, 4]], np.float32), 4).sum() == 2


def test_saliency_shows_the_surest_label_that_is_there_with_its_boxes(spotted: StudyStore) -> None:
    context = spotted_context(spotted, SummingEncoder(), probe={"strengths": [0.01]})
    first, second = (saliency(SaliencyConfig(studies=5), context).files["saliency.npz"] for _ in range(2))
    assert first == second
    arrays = np.load(io.BytesIO(first), allow_pickle=False)
    assert arrays["image"].shape == arrays["map"].shape == (len(arrays["view"]), SIZE, SIZE)
    assert len(np.unique(arrays["study"])) == 5
    assert len(arrays["box"]) > 0
    table = spotted.splits["test"]
    for image, box in zip(arrays["box_image"], arrays["box"].astype(int), strict=True):
        label = table.label_names.index(arrays["label"][image])
        assert (arrays["image"][image, box[1] : box[3], box[0] : box[2]] >= 90).all(), label
    assert surest(np.array([[0.2, 0.9], [0.2, 0.9], [np.nan, 0.1]]), np.array([[1, 0], [0, 0], [1, 0]])).tolist() == [
        0,
        1,
        1,
    ]
    assert scaled(np.array([[[0.0, 2.0]], [[0.0, 0.0]]])).tolist() == [[[0, 255]], [[0, 0]]]


def test_without_boxes_or_blocks_there_is_a_reason(spotted: StudyStore, make, store) -> None:
    for kind, config in ((localisation, LocalisationConfig()), (saliency, SaliencyConfig())):
        outcome = kind(config, make.context(store))
        assert isinstance(outcome, Skipped)
        assert "no transformer blocks" in outcome.reason
    outcome = localisation(LocalisationConfig(), spotted_context(replace(spotted, folder=None), SummingEncoder()))
    assert isinstance(outcome, Skipped)
    assert "no boxes" in outcome.reason
