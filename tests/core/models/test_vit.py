"""The encoder against timm's own VisionTransformer, and the visible-token property."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.data.types import View
from core.errors import CheckpointError
from core.export import export_encoder, load_exported, load_tensors
from core.models.masking import random_masks, visible_patches
from core.models.vit import ViewEncoder, normalise, patchify, sincos_positions, unpatchify
from tests.core.batches import TINY


def encoder(**changes: object) -> ViewEncoder:
    torch.manual_seed(0)
    return ViewEncoder(replace(TINY, **changes), 32, "plain").eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("view", [View.FRONTAL, View.LATERAL])
@pytest.mark.parametrize("positions", ["learned", "sincos"])
def test_the_exported_file_gives_the_same_tokens_in_timm(tmp_path: Path, view: View, positions: str) -> None:
    ours = encoder(positions=positions)
    paths = {path.stem.split("_")[1]: path for path in export_encoder(tmp_path, ours)}
    timm_model = load_exported(paths[view.label]).eval()
    images = torch.rand(3, 1, 32, 32)
    expected = timm_model.forward_features(normalise(images))  # type: ignore[operator]
    got = ours(normalise(images), torch.full((3,), int(view)))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_a_cut_file_is_a_clear_error(tmp_path: Path) -> None:
    path = export_encoder(tmp_path, encoder())[0]
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=path.name):
        load_tensors(path)


def test_hidden_pixels_cannot_reach_the_tokens() -> None:
    model = encoder()
    images, view = torch.rand(2, 1, 32, 32), torch.zeros(2, dtype=torch.int64)
    keep, hidden = random_masks(torch.arange(2), 2, model.tokens, 4, torch.Generator().manual_seed(0))
    before = model(normalise(images), view, keep)
    patches = patchify(images, 8)
    noise = torch.rand(2, hidden.shape[1], 64)
    changed = unpatchify(patches.scatter(1, hidden.unsqueeze(-1).expand_as(noise), noise), 8)
    assert torch.equal(model(normalise(changed), view, keep), before)


def test_all_patches_kept_in_any_order_is_the_whole_image() -> None:
    model = encoder()
    images, view = torch.rand(2, 1, 32, 32), torch.tensor([0, 1])
    order = torch.stack([torch.randperm(model.tokens) for _ in range(2)])
    shuffled = model(normalise(images), view, order)[:, 0]
    torch.testing.assert_close(shuffled, model(normalise(images), view)[:, 0], rtol=1e-4, atol=1e-5)


def test_view_embedding_tells_views_apart() -> None:
    image = torch.rand(1, 1, 32, 32)
    both = [model(normalise(image), torch.tensor([v])) for model in (encoder(),) for v in (0, 1)]
    assert not torch.allclose(both[0], both[1])
    plain = encoder(view_embedding=False)
    assert torch.equal(plain(image, torch.tensor([0])), plain(image, torch.tensor([1])))


def test_patchify_and_back() -> None:
    images = torch.rand(2, 1, 24, 24)
    patches = patchify(images, 8)
    assert torch.equal(patches[1, 5].reshape(8, 8), images[1, 0, 8:16, 16:24])
    assert torch.equal(unpatchify(patches, 8), images)


def test_sincos_positions_of_one_place_are_the_formula() -> None:
    positions = sincos_positions(8, 4)[0]
    frequency = [1.0, 1 / 10000**0.5]
    row, column = 2, 3
    expected = [f(column * w) for f in (torch.sin, torch.cos) for w in map(torch.tensor, frequency)] + [
        f(row * w) for f in (torch.sin, torch.cos) for w in map(torch.tensor, frequency)
    ]
    torch.testing.assert_close(positions[row * 4 + column], torch.stack(expected))


def test_masks_are_uniform_disjoint_and_independent_of_their_neighbours() -> None:
    generator = torch.Generator().manual_seed(0)
    keep, hidden = random_masks(torch.arange(4000), 4000, 16, 4, generator)
    both = torch.cat([keep, hidden], 1).sort(1).values
    assert torch.equal(both, torch.arange(16).expand(4000, -1))
    share = torch.bincount(keep.flatten(), minlength=16) / 4000
    assert (share - 0.25).abs().max() < 5 * (0.25 * 0.75 / 4000) ** 0.5
    part, _ = random_masks(torch.tensor([7, 100]), 4000, 16, 4, torch.Generator().manual_seed(0))
    assert torch.equal(part, keep[[7, 100]])


@pytest.mark.parametrize(
    ("patches", "ratio", "visible"), [(196, 0.93, 13), (196, 0.75, 49), (10, 0.9, 1), (64, 0.5, 32)]
)
def test_visible_count_is_the_codes(patches: int, ratio: float, visible: int) -> None:
    assert visible_patches(patches, ratio) == visible


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1, 0.999])
def test_a_ratio_that_leaves_nothing_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="mask_ratio"):
        visible_patches(64, ratio)
