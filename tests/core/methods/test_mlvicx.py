"""MLVICX: both backbones, both branches, what the release freezes; its attention against a loop, its losses by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from core.compose import compose, to_trial
from core.config import TrialConfig
from core.data.store import StudyStore
from core.errors import CheckpointError, ConfigError
from core.evaluation.features import extract
from core.export import export_encoder, load_exported, load_method_weights, load_tensors, save_method
from core.methods.base import METHODS
from core.methods.mlvicx import MLVICX, MLVICXConfig
from core.models.context import ContextBottleneck, ContextResNet
from core.models.multi_level import MultiLevel
from core.models.timm_import import import_timm
from core.models.vit import normalise
from tests.core.batches import make_batch, make_context

BACKBONES = ("resnet18", "vit")


def build(backbone: str, **settings: object) -> MLVICX:
    torch.manual_seed(0)
    small: dict[str, Any] = {"expander": [16, 16], "channels": 4, **settings}
    method: MLVICX = METHODS.build(MLVICXConfig(backbone=backbone, **small), make_context())
    return method


def losses(method: MLVICX, views: list[int]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = method(make_batch(views), 5, torch.Generator().manual_seed(0))
    return found


def test_the_bottleneck_is_the_formula_in_a_loop() -> None:
    """Channel attention, then spatial attention (CBAM, Woo et al. 2018, equations 2 and 3), number by number."""
    torch.manual_seed(0)
    block, maps = ContextBottleneck(4, kernel=3).double(), torch.randn(1, 4, 3, 3, dtype=torch.float64)
    down, up = (block.channels[i].weight[:, :, 0, 0].tolist() for i in (0, 2))
    kernel, values = block.places.weight[0].tolist(), maps[0].tolist()

    def mlp(x: list[float]) -> list[float]:
        hidden = [max(0.0, sum(w * v for w, v in zip(row, x, strict=True))) for row in down]
        return [sum(w * v for w, v in zip(row, hidden, strict=True)) for row in up]

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    flat = [[v for row in channel for v in row] for channel in values]
    sums = [a + b for a, b in zip(mlp([sum(f) / 9 for f in flat]), mlp([max(f) for f in flat]), strict=True)]
    scaled = [[[v * sigmoid(s) for v in row] for row in c] for c, s in zip(values, sums, strict=True)]
    for y in range(3):
        for x in range(3):
            seen = 0.0
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    if 0 <= y + dy < 3 and 0 <= x + dx < 3:
                        column = [scaled[c][y + dy][x + dx] for c in range(4)]
                        seen += kernel[0][dy + 1][dx + 1] * sum(column) / 4 + kernel[1][dy + 1][dx + 1] * max(column)
            for c in range(4):
                found = block(maps)[0, c, y, x].item()
                assert found == pytest.approx(scaled[c][y][x] * sigmoid(seen), rel=1e-10)


def test_levels_are_projected_summed_and_averaged_in_any_order() -> None:
    """As the paper has it: resize to 64 x 64, 1x1 convolution, sum, adaptive average pool to 4 x 4, flatten."""
    torch.manual_seed(0)
    maps = [torch.randn(2, 3, 112, 112), torch.randn(2, 5, 7, 7), torch.randn(2, 6, 1, 1)]
    branch = MultiLevel([3, 5, 6], 8, frozen=False)
    total = torch.zeros(2, 8, 64, 64)
    for one, projection in zip(maps, branch.projections, strict=True):
        total = total + projection(functional.interpolate(one, (64, 64), mode="bilinear"))
    expected = functional.adaptive_avg_pool2d(total, 4).flatten(1)
    torch.testing.assert_close(branch(maps), expected, rtol=1e-4, atol=1e-5)
    assert branch.features == expected.shape[1] == 8 * 16


def test_maps_have_the_papers_channels_and_each_bottlenecks_output_feeds_the_next_stage() -> None:
    method, images = build("resnet18").eval(), torch.randn(2, 1, 64, 64)
    encoder = method.encoder
    feature, maps = encoder.levels(images, torch.zeros(2, dtype=torch.int64))
    assert [tuple(one.shape[1:]) for one in maps] == [(64, 32, 32), (64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]
    torch.testing.assert_close(feature, maps[-1].mean((2, 3)))
    for place in range(5):
        weight = encoder.bottlenecks[place].places.weight
        with torch.no_grad():
            before = weight.clone()
            weight.fill_(0.3)
            again = encoder.levels(images, torch.zeros(2, dtype=torch.int64))[1]
            weight.copy_(before)
        assert [torch.equal(a, b) for a, b in zip(maps, again, strict=True)] == [n < place for n in range(5)]


def test_without_attention_the_resnet_is_timms() -> None:
    encoder = build("resnet18").encoder.eval()
    assert isinstance(encoder, ContextResNet)
    timms = import_timm().create_model("resnet18", in_chans=1, num_classes=0).eval()
    timms.load_state_dict(encoder.backbone.state_dict())
    images = torch.randn(2, 1, 64, 64)
    encoder.bottlenecks = nn.ModuleList([nn.Identity() for _ in range(5)])
    feature, _ = encoder.levels(images, torch.zeros(2, dtype=torch.int64))
    torch.testing.assert_close(feature, timms(images), rtol=1e-4, atol=1e-5)


def test_the_vit_gives_maps_at_the_quarters_of_its_depth() -> None:
    context = replace(make_context(), model=replace(make_context().model, depth=8))
    method = METHODS.build(MLVICXConfig(backbone="vit", expander=[16], channels=4), context)
    assert method.encoder.places == [2, 4, 6, 8]
    feature, maps = method.encoder.levels(torch.randn(3, 1, 32, 32), torch.tensor([0, 1, 2]))
    assert feature.shape == (3, 32)
    assert [tuple(one.shape) for one in maps] == [(3, 32, 4, 4)] * 4


def vicreg(x: Tensor, y: Tensor) -> float:
    """25 invariance + 25 variance + covariance of section 3, row by row in float64."""
    (n, d), total = x.shape, 0.0
    total += 25 * sum(float((x[i, j] - y[i, j]) ** 2) for i in range(n) for j in range(d)) / (n * d)
    for side in (x, y):
        centred = side - side.mean(0)
        cov = [[float((centred[:, i] * centred[:, j]).sum()) / (n - 1) for j in range(d)] for i in range(d)]
        total += 25 * sum(max(0.0, 1 - math.sqrt(cov[i][i] + 1e-4)) for i in range(d)) / d / 2
        total += sum(cov[i][j] ** 2 for i in range(d) for j in range(d) if i != j) / d
    return total


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_loss_is_vicreg_of_both_branches_over_the_pairs_that_exist(backbone: str) -> None:
    method, batch = build(backbone, multi_level=0.5), make_batch([2, 1, 2, 2])
    feature, maps = method.encoder.levels(normalise(batch.images), batch.view)
    by_hand = []
    for head, rows in ((method.expander, feature), (method.level_expander, method.levels(maps))):
        sides = [head(rows[place]).detach().double() for place in ([0, 3, 5], [1, 4, 6])]
        assert all(torch.allclose(side.mean(0), torch.zeros(16).double(), atol=1e-5) for side in sides)
        by_hand.append(vicreg(*sides))
    found = {name: value.item() for name, value in losses(method, [2, 1, 2, 2]).items()}
    assert [found["global"], found["multi_level"]] == pytest.approx(by_hand, rel=1e-3)
    assert found["loss"] == pytest.approx(by_hand[0] + 0.5 * by_hand[1], rel=1e-3)


def test_the_resnet_learns_sees_collapse_and_leaves_no_parameter_out() -> None:
    method = build("resnet18")
    optimiser = torch.optim.AdamW(method.parameters(), lr=1e-3)
    seen = []
    for _ in range(4):
        found = losses(method, [2] * 4)
        found["loss"].backward()
        assert all(p.grad is not None for p in method.parameters())
        optimiser.step()
        optimiser.zero_grad()
        seen.append(found["loss"].item())
    assert seen[-1] < 0.95 * seen[0]
    assert float(losses(method, [2] * 4)["embedding_std"]) > 0.1
    nn.init.zeros_(method.encoder.backbone.conv1.weight)
    assert float(losses(method, [2] * 4)["embedding_std"]) < 1e-3


@pytest.mark.parametrize("backbone", BACKBONES)
def test_frozen_projections_stay_and_all_else_trains(backbone: str) -> None:
    for frozen in (True, False):
        method = build(backbone, frozen_projections=frozen)
        losses(method, [2, 2, 2])["loss"].backward()
        untrained = {name.split(".")[0] for name, p in method.named_parameters() if p.grad is None}
        assert untrained == ({"levels"} if frozen else set())


def test_widths_are_the_papers() -> None:
    with torch.device("meta"):
        method = METHODS.build(MLVICXConfig(), make_context())
    for head, width in ((method.expander, 512), (method.level_expander, 8192)):
        kinds = [type(layer).__name__ for layer in head]
        assert kinds == ["Linear", "BatchNorm", "ReLU", "Linear", "BatchNorm", "ReLU", "Linear", "BatchNorm"]
        shapes = [(layer.in_features, layer.out_features) for layer in head if isinstance(layer, nn.Linear)]
        assert shapes == [(width, 4096), (4096, 4096), (4096, 4096)]


def test_flops_agree_with_torchs_counter_on_a_pass_with_numbers() -> None:
    method, batch = build("resnet18").eval(), make_batch([1])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        features = method.features("encoder", batch)
        method.expander(features[:, :512])
        method.level_expander(features[:, 512:])
    assert sum(method.forward_flops().values()) == pytest.approx(counter.get_total_flops())


def test_the_resnet_is_exported_and_evaluated_with_its_attention(
    built: tuple[Path, StudyStore], trial: Callable[..., TrialConfig], tmp_path: Path
) -> None:
    method, store = build("resnet18").eval(), built[1]
    features = extract(store, method, trial().evaluation, "cpu")["test"]
    image = torch.from_numpy(store.splits["test"].pixels.read(np.arange(3)))[:, None]
    expected = method.encoder.levels(normalise(image), torch.zeros(3, dtype=torch.int64))[0].detach()
    torch.testing.assert_close(torch.from_numpy(features.image[:3]), expected, rtol=1e-4, atol=1e-5)
    path = export_encoder(tmp_path, method.encoder)[0]
    with pytest.raises(CheckpointError, match="attention between its stages, which timm's model has not"):
        load_exported(path)
    backbone = {name: value for name, value in load_tensors(path).items() if not name.startswith("bottlenecks.")}
    import_timm().create_model("resnet18", in_chans=1, num_classes=0).load_state_dict(backbone)


def test_a_checkpoint_of_the_other_backbone_is_refused(tmp_path: Path) -> None:
    save_method(tmp_path / "vit.safetensors", build("vit"))
    with pytest.raises(CheckpointError, match=r"vit\.safetensors does not fit this method and model"):
        load_method_weights(tmp_path / "vit.safetensors", build("resnet18"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["method.backbone=resnet50"], "method.backbone=resnet50 is not a choice"),
        (["method.expander=[]"], r"method.expander=\[\] is no list of widths"),
        (["method.multi_level=-1"], "method.multi_level=-1.0 is outside"),
        (["train.batch_size=1"], "needs batch statistics or negatives and train.batch_size=1"),
        (["train.batch_size=8", "train.micro_batches=8"], "micro_batches=8 leaves one study of train.batch_size=8"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        to_trial(compose(["method=mlvicx", *overrides]))
