"""Joint-embedding methods: pairs and missing views, targets and their schedules, what is frozen, signs of collapse."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.compose import compose, to_trial
from core.data.store import StudyTable
from core.errors import ConfigError
from core.identity import differences, result_config
from core.losses.alignment import infonce
from core.methods.base import METHODS, ViewBatch
from core.methods.byol import BYOL
from core.methods.dino import DINO
from core.methods.joint_embedding import JointEmbedding
from core.methods.mocov3 import MoCoV3
from core.methods.momentum import MomentumMethod
from core.methods.simclr import SimCLR
from core.models.vit import normalise
from tests.core.batches import make_batch, make_context
from tests.core.small import SMALL, small_overrides

JOINT = [entry.name for entry in METHODS.entries() if issubclass(entry.build, JointEmbedding)]
MOMENTUM = [entry.name for entry in METHODS.entries() if issubclass(entry.build, MomentumMethod)]
STEPS = 101  # of make_context(total_steps=STEPS): the last step is number 100, an epoch is 10 steps


def build(name: str, **settings: object) -> Any:
    torch.manual_seed(0)
    config = METHODS.get(name).config(**{**SMALL.get(name, {}), **settings})
    return METHODS.build(config, make_context(total_steps=STEPS))


def losses(method: nn.Module, batch: ViewBatch, step: int = 5) -> dict[str, Tensor]:
    found: dict[str, Tensor] = method(batch, step, torch.Generator().manual_seed(0))
    return found


def train(method: nn.Module, steps: range, batch: ViewBatch | None = None) -> None:
    optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.05)
    for step in steps:
        losses(method, batch or make_batch([2] * 6), step)["loss"].backward()
        optimiser.step()
        optimiser.zero_grad()


def test_the_field_is_there() -> None:
    assert {"simclr", "byol", "mocov3", "dino", "barlow_twins", "vicreg"} <= set(JOINT)
    assert MOMENTUM == ["byol", "dino", "mocov3"]


@pytest.mark.parametrize("name", JOINT)
def test_structured_and_unstructured_differ_in_one_value(name: str) -> None:
    small = small_overrides(name)
    unstructured = to_trial(compose([f"method={name}", *small]))
    assert unstructured.pairing.name == "same_view_augmented"
    structured = to_trial(compose([f"method={name}", "pairing=same_study", *small]))
    changed = differences(result_config(unstructured), result_config(structured))
    assert changed
    assert all(line.startswith("pairing.") for line in changed)


@pytest.mark.parametrize("name", sorted(set(JOINT) - {"simclr"}))
def test_an_image_without_a_partner_adds_nothing(name: str) -> None:
    whole, alone = make_batch([2, 2, 2]), make_batch([2, 2, 2, 1])
    alone = replace(alone, images=torch.cat([whole.images, alone.images[-1:]]))
    expected = losses(build(name), whole)["loss"]
    torch.testing.assert_close(losses(build(name), alone)["loss"], expected, rtol=1e-5, atol=1e-6)


def test_simclr_compares_the_projections_of_all_images() -> None:
    method, batch = build("simclr"), make_batch([2, 1, 2])
    assert isinstance(method, SimCLR)
    projected = method.projector(method.encoder(normalise(batch.images), batch.view)[:, 0])
    torch.testing.assert_close(losses(method, batch)["loss"], infonce(projected, batch, 0.1))


@pytest.mark.parametrize("name", JOINT)
@pytest.mark.parametrize("views", [[1, 1, 1], [2, 1, 1]])
def test_fewer_than_two_pairs_give_a_loss_and_gradients_of_zero(name: str, views: list[int]) -> None:
    method = build(name)
    loss = losses(method, make_batch(views))["loss"]
    loss.backward()
    assert loss.item() == 0
    assert all(not p.grad.any() for p in method.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", JOINT)
def test_no_token_is_masked(name: str) -> None:
    method, seen = build(name), []
    for encoder in (m for n, m in method.named_children() if n.endswith("encoder")):
        encoder.blocks[0].register_forward_hook(lambda *call: seen.append(call[-1].shape[1]))
    losses(method, make_batch([2, 2]))
    assert set(seen) == {1 + 16}


# The target


@pytest.mark.parametrize("name", MOMENTUM)
def test_the_target_starts_as_a_copy_is_saved_and_is_not_trained(name: str) -> None:
    method = build(name)
    targets = [method.get_submodule(method.target), method.target_projector]
    online = [method.get_submodule(method.online), method.projector]
    for one, other in zip(targets, online, strict=True):
        for (key, value), (_, trained) in zip(one.named_parameters(), other.named_parameters(), strict=True):
            assert torch.equal(value, trained), key
            assert value.data_ptr() != trained.data_ptr()
            assert not value.requires_grad
    saved = method.state_dict()
    assert f"{method.target}.cls_token" in saved
    assert any(key.startswith("target_projector.") for key in saved)
    losses(method, make_batch([2] * 4))["loss"].backward()
    assert all(p.grad is None for target in targets for p in target.parameters())


@pytest.mark.parametrize("name", MOMENTUM)
def test_the_target_is_the_moving_average_by_hand(name: str) -> None:
    method = build(name, momentum=0.6)
    online, target = method.get_submodule(method.online), method.get_submodule(method.target)
    average = {k: v.double().clone() for k, v in target.state_dict().items()}
    for step in range(4):
        now = {k: v.double() for k, v in online.state_dict().items()}
        # The update after step t - 1; MoCo v3's comes before the keys of step t.
        t = step if name == "mocov3" else max(0, step - 1)
        momentum = 1 - (1 - 0.6) * (math.cos(math.pi * t / (STEPS - 1)) + 1) / 2
        average = {k: momentum * average[k] + (1 - momentum) * now[k] for k in average}
        train(method, range(step, step + 1))
        for key, value in target.state_dict().items():
            torch.testing.assert_close(value.double(), average[key], rtol=1e-5, atol=1e-7)
    assert any(not torch.equal(a, b) for a, b in zip(online.parameters(), target.parameters(), strict=True))


def test_momentum_at_the_start_the_middle_and_the_end() -> None:
    for name, start in (("byol", 0.996), ("dino", 0.996)):
        found = [build(name).momentum(step) for step in (0, 1, 51, 101)]
        assert found == pytest.approx([start, start, (1 + start) / 2, 1.0], rel=1e-12)
    found = [build("mocov3").momentum(step) for step in (0, 50, 100)]
    assert found == pytest.approx([0.99, 0.995, 1.0], rel=1e-12)


@pytest.mark.parametrize("name", MOMENTUM)
def test_the_target_moves_once_a_step_even_where_a_batch_comes_in_parts(name: str) -> None:
    method, batch = build(name, momentum=0.5), make_batch([2] * 4)
    train(method, range(2))
    losses(method, batch, 2)
    once = copy.deepcopy(method.get_submodule(method.target).state_dict())
    losses(method, batch, 2)
    assert all(torch.equal(once[k], v) for k, v in method.get_submodule(method.target).state_dict().items())


@pytest.mark.parametrize("name", MOMENTUM)
def test_a_state_dict_is_all_that_a_resume_needs(name: str) -> None:
    method, resumed = build(name), build(name)
    train(method, range(6))
    train(resumed, range(3))
    again = build(name)
    again.load_state_dict(resumed.state_dict())
    train(again, range(3, 6))
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in method.state_dict().items())


def test_a_rounded_target_is_refused() -> None:
    with pytest.raises(ConfigError, match="whole weights in fp32"):
        build("byol").bfloat16().follow(0)


# BYOL and MoCo v3


@pytest.mark.parametrize("name", ["byol", "mocov3"])
def test_predictions_meet_the_other_sides_targets(name: str) -> None:
    method, batch = build(name), make_batch([2, 1, 2, 2])
    features = method.encoder(normalise(batch.images), batch.view)[:, 0]
    expected = 0.0
    for mine, other in (([0, 3, 5], [1, 4, 6]), ([1, 4, 6], [0, 3, 5])):
        query = nn.functional.normalize(method.predictor(method.projector(features[mine])), dim=1)
        key = nn.functional.normalize(method.target_projector(features[other]), dim=1)
        cosines = (query @ key.T).detach().double().numpy()
        if name == "byol":
            expected += float((2 - 2 * cosines.diagonal()).mean())
        else:
            odds = np.exp(cosines / 0.2)
            expected += 0.4 * float(-np.log(odds.diagonal() / odds.sum(1)).mean())
    assert float(losses(method, batch, 0)["loss"].detach()) == pytest.approx(expected, rel=1e-5)


def test_byol_and_mocov3_heads_have_the_papers_shapes() -> None:
    byol, moco = (
        BYOL(METHODS.get("byol").config(), make_context()),
        MoCoV3(METHODS.get("mocov3").config(), make_context()),
    )
    width = 32

    def shapes(head: nn.Module) -> list[tuple[int, int]]:
        return [(m.in_features, m.out_features) for m in head.modules() if isinstance(m, nn.Linear)]

    assert shapes(byol.projector) == [(width, 4096), (4096, 256)]
    assert shapes(byol.predictor) == [(256, 4096), (4096, 256)]
    assert shapes(moco.projector) == [(width, 4096), (4096, 4096), (4096, 256)]
    assert shapes(moco.predictor) == [(256, 4096), (4096, 256)]
    queries = moco.predictor(torch.randn(8, 256))
    torch.testing.assert_close(queries.mean(0), torch.zeros(256), atol=1e-5, rtol=0)


def test_mocov3_keeps_its_patch_projection_unless_told_otherwise() -> None:
    for freeze in (True, False):
        method = build("mocov3", freeze_patches=freeze)
        before = method.encoder.patch_embed.proj.weight.clone()
        train(method, range(2))
        assert torch.equal(before, method.encoder.patch_embed.proj.weight) == freeze


# DINO


def test_dino_evaluates_the_teacher() -> None:
    method = build("dino")
    train(method, range(3))
    names = dict(method.named_parameters())
    assert not names["encoder.cls_token"].requires_grad
    assert names["student_encoder.cls_token"].requires_grad
    assert not torch.equal(names["encoder.cls_token"], names["student_encoder.cls_token"])


def test_dino_teacher_temperature_is_the_released_schedule() -> None:
    method = build("dino")
    expected = [*np.linspace(0.04, 0.07, 30), 0.07, 0.07]
    assert [method.teacher_temperature(10 * epoch + 9) for epoch in range(32)] == pytest.approx(expected)
    assert build("dino", teacher_warmup_epochs=0).teacher_temperature(0) == 0.07


def test_dino_logits_are_cosines_with_prototypes_that_stay_for_an_epoch() -> None:
    method, batch = build("dino"), make_batch([2] * 4)
    features = torch.randn(7, 32)
    head = method.projector
    bottleneck, prototypes = nn.functional.normalize(head.mlp(features), dim=1), head.prototypes
    expected = bottleneck @ (prototypes / prototypes.norm(dim=1, keepdim=True)).T
    torch.testing.assert_close(head(features), expected)
    torch.testing.assert_close(head(features, frozen=True), expected)
    for step, frozen in ((9, True), (10, False)):
        method.zero_grad()
        losses(method, batch, step)["loss"].backward()
        assert method.projector.prototypes.grad.any() == (not frozen)
        assert method.projector.mlp[0].weight.grad.any()


def test_dino_student_meets_the_other_images_centred_and_sharpened_teacher() -> None:
    method, batch = build("dino", teacher_temperature_start=0.05), make_batch([2, 1, 2, 2])
    nn.init.normal_(method.centre, std=0.1)
    centre = method.centre.clone()
    features = method.encoder(normalise(batch.images), batch.view)[:, 0]
    student = torch.log_softmax(method.projector(features) / 0.1, dim=1)
    teacher = torch.softmax((method.target_projector(features) - centre) / 0.05, dim=1)
    terms = [-(teacher[i] * student[j]).sum() for a, b in batch.pairs.tolist() for i, j in ((a, b), (b, a))]
    found = losses(method, batch, 0)["loss"]
    torch.testing.assert_close(found, torch.stack(terms).mean())


def test_dino_centre_follows_the_teachers_mean_output() -> None:
    method, batch = build("dino"), make_batch([2, 1, 2])
    logits = method.target_projector(method.target_features(batch))[batch.pairs.reshape(-1)]
    losses(method, batch, 0)
    torch.testing.assert_close(method.centre, 0.1 * logits.mean(0))
    losses(method, batch, 0)
    torch.testing.assert_close(method.centre, 0.19 * logits.mean(0))
    assert "centre" in method.state_dict()


# Collapse


def first_linear(method: nn.Module) -> nn.Linear:
    head = next(m for n, m in method.named_children() if n in ("projector", "expander"))
    return next(m for m in head.modules() if isinstance(m, nn.Linear))


@pytest.mark.parametrize("name", METHODS.names())
def test_an_encoder_that_says_the_same_of_every_image_is_seen_and_a_fresh_one_is_not(name: str) -> None:
    method, batch = build(name), make_batch([2] * 8)
    healthy = losses(method, batch)
    assert float(healthy["embedding_std"]) > 0.3
    assert float(healthy["embedding_rank"]) > 3
    encoder = method.get_submodule(getattr(method, "online", "encoder"))
    nn.init.zeros_(encoder.norm.weight)
    nn.init.normal_(encoder.norm.bias)
    collapsed = losses(method, batch)
    assert float(collapsed["embedding_std"]) < 1e-3
    assert float(collapsed["embedding_rank"]) < 0.01


@pytest.mark.parametrize("name", JOINT)
def test_a_projector_that_says_the_same_of_every_image_is_seen_and_a_fresh_one_is_not(name: str) -> None:
    method, batch = build(name), make_batch([2] * 8)
    assert float(losses(method, batch)["projection_std"]) > 0.3
    layer = first_linear(method)
    nn.init.zeros_(layer.weight)
    found = losses(method, batch)
    assert float(found["projection_std"]) < 1e-3
    assert float(found["embedding_std"]) > 0.3


# Refusals


@pytest.mark.parametrize("name", JOINT)
@pytest.mark.parametrize(
    ("override", "message"),
    [("pairing=none", "pairing=none forms none"), ("train.batch_size=1", "train.batch_size=1")],
)
def test_no_pairs_and_a_batch_of_one_are_refused(name: str, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        to_trial(compose([f"method={name}", override]))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("byol", {"layers": []}, r"method.layers=\[\] is no list of widths"),
        ("byol", {"momentum": 1.5}, "method.momentum=1.5 is outside"),
        ("mocov3", {"predictor": [0]}, r"method.predictor=\[0\]"),
        ("mocov3", {"temperature": 0.0}, "method.temperature=0.0 is outside"),
        ("simclr", {"temperature": -1.0}, "method.temperature"),
        ("barlow_twins", {"redundancy": -1.0}, "method.redundancy"),
        ("dino", {"teacher_temperature": 0.0}, "method.teacher_temperature"),
        ("dino", {"centre_momentum": 2.0}, "method.centre_momentum"),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(name, **settings)


def test_more_prototypes_than_images_are_refused() -> None:
    class Table:
        n_images, n_studies = 23, 12

    table: StudyTable = Table()  # type: ignore[assignment]
    method = build("dino")
    assert isinstance(method, DINO)
    with pytest.raises(ConfigError, match="24 are more than the 23 training images"):
        method.train_studies(table, 0)
    Table.n_images = 24
    assert method.train_studies(table, 0).all()
