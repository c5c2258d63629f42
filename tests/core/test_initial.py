"""Initial weights: timm's own model as the reference, our own files, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from core import checkpoint
from core.config import InitConfig, TrialConfig
from core.data.store import StudyStore
from core.errors import CheckpointError, ConfigError, Interrupted
from core.export import export_encoder
from core.identity import differences, result_config, trial_id
from core.initial import initialise
from core.io import sha256_file
from core.methods.base import METHODS, Method, MethodContext
from core.models.timm_import import import_timm
from core.models.vit import normalise
from core.trainer import MODEL_FILE, train
from tests.core.batches import TINY
from tests.core.small import SMALL

Trial = Callable[..., TrialConfig]
Built = tuple[Path, StudyStore]
IMAGENET = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def fresh(name: str = "supervised", size: int = 32, seed: int = 1, **model: Any) -> Method:
    torch.manual_seed(seed)
    config = METHODS.get(name).config(**SMALL.get(name, {}))
    context = MethodContext(replace(TINY, **{"qk_norm": False, **model}), size, ("a", "b"), 10, 5, "plain")
    return METHODS.build(config, context).eval()  # type: ignore[no-any-return]


def timm_model(size: int = 32, **settings: Any) -> Any:
    torch.manual_seed(2)
    shape = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 7, **settings}
    model = import_timm().create_model("vit_tiny_patch16_224", img_size=size, **shape)
    nn.init.normal_(model.pos_embed)
    nn.init.normal_(model.cls_token)
    return model.eval()


def save(model: nn.Module, path: Path, wrap: Callable[[dict[str, Tensor]], Any] = dict) -> InitConfig:
    if path.suffix == ".safetensors":
        save_file(model.state_dict(), path)
    else:
        torch.save(wrap(model.state_dict()), path)
    return InitConfig(path=str(path))


def rgb(images: Tensor) -> Tensor:
    """Grey images in [0, 1] as the timm model's training normalised RGB images."""
    mean, std = (c.view(3, 1, 1) for c in IMAGENET)
    return (images.expand(-1, 3, -1, -1) - mean) / std


@pytest.mark.parametrize(
    ("file", "wrap"),
    [
        ("w.safetensors", dict),
        ("w.pth", dict),
        ("w.pth", lambda state: {"model": state, "epoch": 3}),
        ("w.bin", lambda state: {"state_dict": {f"module.{k}": v.double() for k, v in state.items()}}),
    ],
)
@pytest.mark.parametrize("view", [0, 1])
def test_a_timm_checkpoint_gives_timms_tokens_of_the_film_as_a_grey_rgb_image(
    tmp_path: Path, file: str, wrap: Callable[[dict[str, Tensor]], Any], view: int
) -> None:
    theirs, ours = timm_model(), fresh()
    initialise(ours, save(theirs, tmp_path / file, wrap))
    images = torch.rand(3, 1, 32, 32)
    got = ours.encoder(normalise(images), torch.full((3,), view))
    torch.testing.assert_close(got, theirs.forward_features(rgb(images)), rtol=1e-4, atol=1e-5)


def test_positions_of_another_grid_are_resampled_as_timm_does(tmp_path: Path) -> None:
    theirs, ours, larger = timm_model(), fresh(size=48), timm_model(size=48)
    initialise(ours, save(theirs, tmp_path / "w.safetensors"))
    filtered = import_timm().models.vision_transformer.checkpoint_filter_fn(theirs.state_dict(), larger)
    larger.load_state_dict(filtered)
    images = torch.rand(2, 1, 48, 48)
    got = ours.encoder(normalise(images), torch.zeros(2, dtype=torch.int64))
    torch.testing.assert_close(got, larger.forward_features(rgb(images)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["byol", "dino", "mvmae"])
def test_every_encoder_of_a_method_starts_there_and_its_heads_start_fresh(tmp_path: Path, name: str) -> None:
    method, before, source = fresh(name), fresh(name).state_dict(), fresh(seed=7)
    save_file({f"encoder.{k}": v for k, v in source.encoder.state_dict().items()}, tmp_path / MODEL_FILE)
    initialise(method, InitConfig(path=str(tmp_path)))
    weights = source.encoder.state_dict()
    for key, value in method.state_dict().items():
        own, _, inner = key.partition(".")
        assert torch.equal(value, weights[inner] if own.endswith("encoder") else before[key]), key
    assert not torch.equal(weights["cls_token"], before["encoder.cls_token"])


def test_our_exported_encoder_sees_every_film_as_of_its_view(tmp_path: Path) -> None:
    source, method = fresh("mvmae", seed=7), fresh()
    frontal, _ = export_encoder(tmp_path, source.encoder)
    initialise(method, InitConfig(path=str(frontal)))
    images = torch.rand(2, 1, 32, 32)
    expected = source.encoder(normalise(images), torch.zeros(2, dtype=torch.int64))
    for view in (0, 1):
        got = method.encoder(normalise(images), torch.full((2,), view))
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_of_a_run_that_was_cut_can_be_started_from(tmp_path: Path) -> None:
    source, method = fresh("mvmae", seed=7), fresh()
    state = {"engine": {"method": source.state_dict(), "optimiser": {}}, "meter": {"seconds": 1.0}}
    checkpoint.save(tmp_path, 4, state, 1)
    initialise(method, InitConfig(path=str(tmp_path / "step-000000004.pt")))
    expected = source.encoder.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in method.encoder.state_dict().items())


def test_weights_of_another_backbone_name_every_setting_that_differs(tmp_path: Path) -> None:
    init = save(timm_model(embed_dim=48, depth=3, num_heads=3, patch_size=16), tmp_path / "w.pth")
    with pytest.raises(CheckpointError) as refused:
        initialise(fresh(qk_norm=True, mlp_ratio=2.0), init)
    assert "another backbone" in refused.value.what
    for said in (
        "model.width is 48 there, 32 here", "model.depth is 3 there, 2 here", "model.patch is 16 there, 8 here",
        "model.mlp_ratio is 4.0 there, 2.0 here", "model.qk_norm is False there, True here",
    ):  # fmt: skip
        assert said in refused.value.what
    assert "model.width=48 model.depth=3 model.patch=16 model.mlp_ratio=4.0 model.qk_norm=false" in refused.value.hint
    assert "w.pth" in refused.value.what


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: timm_model(init_values=1.0), "it has blocks.0.ls1.gamma"),
        (lambda: timm_model(global_pool="avg"), "it has no norm.weight"),
        (lambda: import_timm().create_model("resnet10t", num_classes=2), "no vision transformer in timm's layout"),
        (lambda: timm_model(in_chans=4), "its images have 4 channels"),
        (lambda: timm_model(reg_tokens=3), "reg_token"),
    ],
)
def test_a_model_that_is_no_plain_vit_is_refused_by_what_it_has(
    tmp_path: Path, model: Callable[[], nn.Module], said: str
) -> None:
    with pytest.raises(CheckpointError, match=said):
        initialise(fresh(), save(model(), tmp_path / "w.pth"))


def test_heads_that_no_shape_tells_are_read_from_our_own_files(tmp_path: Path) -> None:
    frontal, _ = export_encoder(tmp_path, fresh().encoder)
    with pytest.raises(CheckpointError, match=r"model\.heads is 2 there, 4 here"):
        initialise(fresh(heads=4), InitConfig(path=str(frontal)))


class Planted:
    """Unpickling it makes a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("planted",)


def test_a_file_of_objects_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Planted()}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="nothing is unpickled"):
        initialise(fresh(), InitConfig(path=str(tmp_path / "w.pth")))
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("content", [b"", b"no zip", {"epoch": 3}, torch.zeros(3)])
def test_a_file_without_a_state_dict_is_named(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"w\.pth: it (holds no state dict|cannot be read)"):
        initialise(fresh(), InitConfig(path=str(path)))


def test_paths_and_constants_that_cannot_work_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"init\.path=/nowhere does not exist"):
        InitConfig(path="/nowhere")
    with pytest.raises(ConfigError, match=r"init.std=.* is not above 0"):
        InitConfig(std=[1.0, 0.0, 1.0])
    with pytest.raises(CheckpointError, match=rf"there is no {tmp_path}/model.safetensors"):
        initialise(fresh(), InitConfig(path=str(tmp_path)))


def test_a_trials_id_is_of_the_weights_and_not_of_their_name(trial: Trial, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.pth", "b.pth", "c.pth")]
    for path, value in zip(paths, (b"same", b"same", b"other"), strict=True):
        path.write_bytes(value)
    plain = trial("method=supervised")
    first, second, third = (trial("method=supervised", f"init.path={path}") for path in paths)
    assert trial_id(first) == trial_id(second)
    assert len({trial_id(first), trial_id(third), trial_id(plain)}) == 3
    assert "init" not in result_config(plain)
    assert [d.split(":")[0] for d in differences(result_config(first), result_config(third))] == ["init.sha256"]


def test_fine_tuning_a_trained_trial_starts_at_its_weights_and_resumes(
    built: Built, trial: Trial, tmp_path: Path
) -> None:
    train(trial("method=mae", "train.epochs=1"), built[1], tmp_path / "mae")
    overrides = ("method=supervised", "train.epochs=1", f"init.path={tmp_path / 'mae'}")
    config = trial(*overrides)
    with pytest.raises(Interrupted):
        train(config, built[1], tmp_path / "cut", stop=lambda: True)
    for name in ("cut", "whole"):
        train(config, built[1], tmp_path / name)
    assert sha256_file(tmp_path / "cut" / MODEL_FILE) == sha256_file(tmp_path / "whole" / MODEL_FILE)
    train(trial(*overrides, "train.epochs=0"), built[1], tmp_path / "start")
    assert _encoder(tmp_path / "start") == _encoder(tmp_path / "mae")
    train(trial("method=supervised", "train.epochs=0"), built[1], tmp_path / "scratch")
    assert _encoder(tmp_path / "scratch") != _encoder(tmp_path / "mae")


def _encoder(folder: Path) -> bytes:
    return (folder / "encoder_lateral.safetensors").read_bytes()
