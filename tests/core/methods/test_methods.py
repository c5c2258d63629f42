"""Every registered method, tested by existing; and what each of them says of itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.nn import functional

from core.data.labels import UNKNOWN
from core.errors import ConfigError
from core.methods.base import METHODS, Method, ViewBatch
from core.methods.mvmae import MVMAE, MVMAEConfig
from core.methods.supervised import Supervised, SupervisedConfig, policy_targets
from core.models.masking import random_masks
from core.models.vit import normalise, patchify
from tests.core.batches import make_batch, make_context
from tests.core.small import SMALL


def build(name: str, **settings: object) -> Method:
    torch.manual_seed(0)
    config = METHODS.get(name).config(**SMALL.get(name, {}), **settings)
    return METHODS.build(config, make_context())  # type: ignore[no-any-return]


def losses(method: Method, batch: ViewBatch, seed: int = 0) -> dict[str, torch.Tensor]:
    return method(batch, 5, torch.Generator().manual_seed(seed))  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", METHODS.names())
@pytest.mark.parametrize("views", [[2, 1, 2, 3, 2], [1, 1, 1]])
def test_losses_are_finite_scalars_and_every_trained_parameter_gets_a_gradient(name: str, views: list[int]) -> None:
    method = build(name)
    found = losses(method, make_batch(views))
    assert all(value.shape == () and torch.isfinite(value) for value in found.values())
    found["loss"].backward()
    unused = ("decoder.cls_position",)
    missing = [n for n, p in method.named_parameters() if p.requires_grad and p.grad is None and n not in unused]
    assert not missing


@pytest.mark.parametrize("name", METHODS.names())
def test_no_method_asks_the_device_for_a_value(name: str) -> None:
    """Fake tensors have no values: asking for one, or for a shape that depends on one, raises."""
    method, batch = build(name), make_batch([2, 1, 2, 3])
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        tensors = {k: mode.from_tensor(v) for k, v in vars(batch).items() if isinstance(v, torch.Tensor)}
        losses(method, replace(batch, **tensors))["loss"].backward()
        with pytest.raises(DataDependentOutputException):
            float(tensors["images"].sum())


@pytest.mark.parametrize("name", METHODS.names())
def test_a_method_learns_one_batch_by_heart(name: str) -> None:
    method, batch = build(name), make_batch([2] * 8)
    optimiser = torch.optim.AdamW(method.parameters(), lr=3e-3)
    first = float(losses(method, batch)["loss"])
    for _ in range(40):
        optimiser.zero_grad()
        losses(method, batch)["loss"].backward()
        optimiser.step()
    assert float(losses(method, batch)["loss"]) < 0.9 * first


@pytest.mark.parametrize("name", METHODS.names())
def test_flops_are_positive_and_the_encoder_is_counted(name: str) -> None:
    flops = build(name).forward_flops()
    assert flops["encoder"] > 0
    assert all(value > 0 for value in flops.values())


def test_encoder_flops_agree_with_torchs_counter() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    method = build("mvmae")
    keep, _ = random_masks(torch.arange(1), 1, 16, 4, torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as counter:
        method.encoder(torch.rand(1, 1, 32, 32), torch.tensor([0]), keep)
    assert method.encoder.flops(4) == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_mvmae_reconstruction_is_the_mean_over_images_and_hidden_pixels() -> None:
    method = build("mvmae", weight=0.0)
    assert isinstance(method, MVMAE)
    batch = make_batch([2, 1])
    found = losses(method, batch, seed=3)
    keep, hidden = random_masks(batch.slot, batch.slots, 16, 4, torch.Generator().manual_seed(3))
    images = normalise(batch.images)
    painted = method.decoder(method.encoder(images, batch.view, keep), keep, hidden, batch.view)
    errors = []
    for n in range(3):
        target = patchify(images, 8)[n][hidden[n]]
        errors.append(float(((painted[n] - target) ** 2).mean()))
    assert float(found["reconstruction"]) == pytest.approx(sum(errors) / 3, rel=1e-5)
    assert float(found["loss"]) == pytest.approx(float(found["reconstruction"]))


def test_mvmae_loss_is_reconstruction_plus_weighted_alignment() -> None:
    found = losses(build("mvmae", weight=3.0), make_batch([2, 2, 1]))
    assert float(found["loss"]) == pytest.approx(float(found["reconstruction"] + 3 * found["alignment"]), rel=1e-6)


def test_normalised_target_ignores_brightness_of_a_patch() -> None:
    method = build("mvmae", normalise_target=True, weight=0.0)
    assert isinstance(method, MVMAE)
    images = torch.randint(0, 255, (2, 1, 32, 32), dtype=torch.uint8)
    shown = method.reconstruct(images, torch.tensor([0, 1]), torch.Generator().manual_seed(0))
    assert set(shown) == {"input", "masked", "output"}
    assert all(v.shape == (2, 32, 32) and 0 <= float(v.min()) <= float(v.max()) <= 1 for v in shown.values())
    same = (shown["input"] == shown["masked"]).float().mean()
    assert 0.2 < float(same) < 0.3


def test_masks_of_a_study_do_not_depend_on_which_process_holds_it() -> None:
    method, whole = build("mvmae", weight=0.0), make_batch([2, 2, 2, 2])
    halves = []
    for part in (slice(0, 4), slice(4, 8)):
        half = replace(
            whole,
            images=whole.images[part],
            view=whole.view[part],
            study=whole.study[part] % 2,
            slot=whole.slot[part],
            pairs=whole.pairs[:2],
            index=whole.index[:2],
            images_per_study=(2, 2),
            pairs_per_study=(1, 1),
        )
        halves.append(float(losses(method, half)["reconstruction"]))
    assert float(losses(method, whole)["reconstruction"]) == pytest.approx(sum(halves) / 2, rel=1e-5)


def test_token_by_token_comparison_is_refused() -> None:
    with pytest.raises(ConfigError, match="different patches"):
        MVMAEConfig(pool="none")


def test_supervised_logits_are_the_mean_over_existing_views_and_the_loss_is_bce() -> None:
    method = build("supervised")
    assert isinstance(method, Supervised)
    batch = make_batch([2, 1, 3])
    per_image = method.head(method.encoder(normalise(batch.images), batch.view)[:, 0])
    expected = torch.stack([per_image[batch.study == s].mean(0) for s in range(3)])
    got = method.study_logits(normalise(batch.images), batch.view, batch.study, 3)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    loss = functional.binary_cross_entropy_with_logits(expected, batch.labels)
    assert float(losses(method, batch)["loss"]) == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.parametrize(
    ("policy", "targets", "used"),
    [
        ("zeros", [1, 0, 0, 0, 0], [True, True, True, True, False]),
        ("ones", [1, 0, 1, 0, 0], [True, True, True, True, False]),
        ("ignore", [1, 0, 0, 0, 0], [True, True, False, False, False]),
    ],
)
def test_label_policies(policy: str, targets: list[float], used: list[bool]) -> None:
    got, kept = policy_targets(torch.tensor([[1.0, 0.0, -1.0, float("nan"), UNKNOWN]]), policy)
    assert got[0].tolist() == targets
    assert kept[0].tolist() == used


def test_an_unlabelled_study_says_nothing() -> None:
    method = build("supervised", label_fraction=0.5)
    assert isinstance(method.config, SupervisedConfig)
    batch = make_batch([2, 1])
    masked = replace(batch, labelled=torch.tensor([True, False]))
    alone = replace(masked, labels=batch.labels.clone())
    alone.labels[1] = 1 - alone.labels[1]
    assert float(losses(method, masked)["loss"]) == float(losses(method, alone)["loss"])
