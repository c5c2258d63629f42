"""CrossMAE's decoder against timm's attention, and what makes it one: hidden patches do not see each other."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from core.compose import compose, to_trial
from core.errors import ConfigError
from core.methods.base import METHODS
from core.methods.mvmae import MVMAE, MVMAEConfig
from core.models.cross_decoder import CrossAttention
from core.models.masking import random_masks
from core.models.timm_import import import_timm
from core.models.vit import gather_tokens, layer_norm, normalise, patchify
from tests.core.batches import make_batch, make_context


def build(**settings: object) -> MVMAE:
    torch.manual_seed(0)
    method: MVMAE = METHODS.build(MVMAEConfig(**{"weight": 0.0, **settings}), make_context())  # type: ignore[arg-type]
    return method


@pytest.mark.parametrize("attention", ["plain", "sdpa"])
@pytest.mark.parametrize("qk_norm", [True, False])
def test_attention_of_tokens_on_themselves_is_timms(attention: str, qk_norm: bool) -> None:
    torch.manual_seed(0)
    norm = type(layer_norm(1)) if qk_norm else None
    timms = import_timm().models.vision_transformer.Attention(
        32, num_heads=4, qkv_bias=True, qk_norm=qk_norm, norm_layer=norm
    )
    ours = CrossAttention(32, 32, 4, qk_norm, attention)
    with torch.no_grad():
        ours.query.weight.copy_(timms.qkv.weight[:32])
        ours.query.bias.copy_(timms.qkv.bias[:32])
        ours.key_value.weight.copy_(timms.qkv.weight[32:])
        ours.key_value.bias.copy_(timms.qkv.bias[32:])
        ours.project.load_state_dict(timms.proj.state_dict())
    tokens = torch.randn(3, 7, 32)
    torch.testing.assert_close(ours(tokens, tokens), timms(tokens), rtol=1e-4, atol=1e-5)


def test_a_hidden_patch_is_painted_alike_whichever_others_are() -> None:
    images, view = torch.rand(2, 1, 32, 32), torch.tensor([0, 1])
    keep, hidden = random_masks(torch.arange(2), 2, 16, 4, torch.Generator().manual_seed(0))
    for decoder, alike in (("cross", True), ("self", False)):
        method = build(decoder=decoder).eval()
        tokens = method.encoder(normalise(images), view, keep)
        everything = method.decoder(tokens, keep, hidden, view)
        some = method.decoder(tokens, keep, hidden[:, [5, 2]], view)
        assert torch.allclose(some, everything[:, [5, 2]], atol=1e-5) == alike


def test_every_visible_token_and_the_view_reach_a_hidden_patch() -> None:
    method, view = build(decoder="cross"), torch.tensor([0])
    keep, hidden = random_masks(torch.arange(1), 1, 16, 4, torch.Generator().manual_seed(0))
    tokens = method.encoder(torch.rand(1, 1, 32, 32), view, keep).detach().requires_grad_()
    painted = method.decoder(tokens, keep, hidden[:, :1], view)
    painted.square().sum().backward()
    assert tokens.grad is not None
    assert (tokens.grad.abs().sum(2) > 0).all()
    assert not torch.allclose(painted, method.decoder(tokens, keep, hidden[:, :1], view + 1))
    assert not torch.allclose(painted, method.decoder(tokens, keep, hidden[:, 1:2], view))


@pytest.mark.parametrize("decoder", ["self", "cross"])
def test_the_loss_is_the_mean_over_the_painted_share_of_hidden_patches(decoder: str) -> None:
    method, batch = build(decoder=decoder, predict_ratio=0.5), make_batch([2, 1])
    found = method(batch, 0, torch.Generator().manual_seed(3))
    keep, hidden = random_masks(batch.slot, batch.slots, 16, 4, torch.Generator().manual_seed(3))
    chosen, images = hidden[:, :6], normalise(batch.images)
    painted = method.decoder(method.encoder(images, batch.view, keep), keep, chosen, batch.view)
    target = gather_tokens(patchify(images, 8), chosen)
    errors = [(painted[n] - target[n]).square().mean().item() for n in range(3)]
    assert float(found["reconstruction"]) == pytest.approx(sum(errors) / 3, rel=1e-5)


def test_which_share_is_painted_is_uniform() -> None:
    painted = random_masks(torch.arange(4000), 4000, 16, 4, torch.Generator().manual_seed(0))[1][:, :3]
    share = torch.bincount(painted.flatten(), minlength=16) / 4000
    assert (share - 3 / 16).abs().max() < 5 * (3 / 16 * 13 / 16 / 4000) ** 0.5


def test_it_learns_one_batch_by_heart_and_no_parameter_is_left_out() -> None:
    method, batch = build(decoder="cross", predict_ratio=0.5), make_batch([2] * 4)
    optimiser = torch.optim.AdamW(method.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = method(batch, 0, torch.Generator().manual_seed(0))["loss"]
        loss.backward()
        assert all(p.grad is not None for p in method.parameters())
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_the_gallery_shows_all_hidden_patches_painted() -> None:
    images = torch.randint(0, 255, (2, 1, 32, 32), dtype=torch.uint8)
    shown = build(decoder="cross", predict_ratio=0.1).reconstruct(
        images, torch.tensor([0, 1]), torch.Generator().manual_seed(0)
    )
    hidden = (shown["input"] != shown["masked"]).float().mean()
    assert 0.7 < float(hidden) <= 0.76
    assert float((shown["output"] != shown["masked"]).float().mean()) > 0.7


@pytest.mark.parametrize("decoder", ["self", "cross"])
def test_flops_agree_with_torchs_counter(decoder: str) -> None:
    method, view = build(decoder=decoder, predict_ratio=0.5), torch.tensor([0])
    keep, hidden = random_masks(torch.arange(1), 1, 16, 4, torch.Generator().manual_seed(0))
    tokens = method.encoder(torch.rand(1, 1, 32, 32), view, keep)
    with FlopCounterMode(display=False) as counter:
        method.decoder(tokens, keep, hidden[:, : method.painted], view)
    assert method.forward_flops()["decoder"] == pytest.approx(counter.get_total_flops(), rel=0.01)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("method.decoder=crss", "method.decoder=crss is not a choice"),
        ("method.predict_ratio=0", "method.predict_ratio=0.0 is outside"),
        ("method.predict_ratio=1.1", "method.predict_ratio=1.1 is outside"),
        ("method.predict_ratio=0.01", "paints none of 48 hidden patches"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        to_trial(compose(["method=mae", override]))
