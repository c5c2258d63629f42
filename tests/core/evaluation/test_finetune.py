"""Fine-tuning: timm's layer groups, early stopping, which labels it sees, what it costs, where it does not apply."""

from __future__ import annotations

import importlib
import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from core.config import AugmentConfig, LoaderConfig, ModelConfig, TrainConfig
from core.data.fractions import label_subset
from core.data.loader import Loader
from core.data.pairings.none import NoneConfig, NoPairing
from core.errors import ConfigError, NonFiniteLossError
from core.evaluation.base import Evaluated, Skipped
from core.evaluation.kinds.finetune import FinetuneConfig, finetune
from core.evaluation.layer_decay import layer_groups
from core.evaluation.tuning import Classifier, Schedule, Tuning
from core.export import timm_arguments
from core.methods.base import METHODS
from core.models.timm_import import import_timm
from core.models.vit import ViewEncoder
from core.schedules import learning_rate
from tests.core.batches import TINY, make_context
from tests.core.small import SMALL

VIT = ModelConfig(patch=4, width=16, depth=2, heads=2, mlp_ratio=2.0)
CONFIG = FinetuneConfig(fractions=[0.5, 1.0], epochs=12, patience=4, batch_size=32, base_lr=0.08, warmup_epochs=1)
AS_IT_IS = AugmentConfig(crop_scale=[1.0, 1.0], jitter=0.0)


def tiny_encoder(**changes: Any) -> ViewEncoder:
    torch.manual_seed(0)
    return ViewEncoder(replace(VIT, **changes), 8, "plain")


def context_of(make, store, encoder: Any = None, **evaluation: Any):
    """A context whose method has a vision transformer."""
    config = make.config(**evaluation)
    config.train, config.augment = TrainConfig(precision="fp32"), AS_IT_IS
    method = make.method()
    method.encoder = encoder or tiny_encoder()
    return make.context(store, config, method)


def by_name(model: nn.Module, groups: list[dict[str, Any]], prefix: str = "") -> dict[str, tuple[float, float]]:
    """Parameter name -> (share of the rate, weight decay)."""
    names = {id(parameter): name.removeprefix(prefix) for name, parameter in model.named_parameters()}
    return {names[id(p)]: (g["lr_scale"], g["weight_decay"]) for g in groups for p in g["params"]}


@pytest.mark.parametrize("decay", [0.75, 1.0])
@pytest.mark.parametrize("qk_norm", [True, False])
def test_layers_and_rates_are_timms(decay: float, qk_norm: bool) -> None:
    encoder = ViewEncoder(replace(TINY, depth=4, qk_norm=qk_norm), 32, "plain")
    ours = Classifier(encoder, 5, "cls", 0)
    theirs = import_timm().create_model(**{**timm_arguments(encoder), "num_classes": 5})
    expected = importlib.import_module("timm.optim").param_groups_layer_decay(
        theirs, weight_decay=0.05, no_weight_decay_list=theirs.no_weight_decay(), layer_decay=decay
    )
    found = by_name(ours, layer_groups(ours, ours.encoder, decay, 0.05), "encoder.")
    assert found.pop("view_embed") == (decay**5, 0.0)
    assert found == by_name(theirs, expected)
    assert found["patch_embed.proj.weight"] == (decay**5, 0.05)
    assert found["blocks.3.mlp.fc1.weight"] == (decay, 0.05)
    assert found["head.bias"] == (1.0, 0.0)


@pytest.mark.parametrize("name", METHODS.names())
def test_everything_trains_that_a_method_had_frozen_but_fixed_positions(name: str) -> None:
    method = METHODS.build(METHODS.get(name).config(**SMALL.get(name, {})), make_context())
    if not hasattr(method.encoder, "trainable_copy"):
        pytest.skip("an encoder without layers")
    assert all(p.requires_grad for p in method.encoder.trainable_copy().parameters())
    fixed = [n for n, p in tiny_encoder(positions="sincos").trainable_copy().named_parameters() if not p.requires_grad]
    assert fixed == ["pos_embed"]


def tuning_of(store, encoder: ViewEncoder | None = None, **changes: Any) -> Tuning:
    schedule = replace(Schedule(6, 2, 1e-2, 1.0, 0.75, 0.05), **changes)
    config = LoaderConfig(workers=0)
    loader = Loader(store.splits["validate"], NoPairing(NoneConfig()), config, seed=0, batch_size=16)
    model = Classifier(encoder or tiny_encoder(), 3, "cls", 0)
    return Tuning(model, loader, schedule, "zeros", AS_IT_IS, bf16=False)


@pytest.mark.parametrize(
    ("scores", "epochs", "best"),
    [
        ([0.5, 0.6, 0.6, 0.55, 0.9, 0.9], 4, 1),
        ([0.5, 0.4, 0.6, 0.5, 0.7, 0.1], 6, 4),
        ([math.nan] * 6, 6, 5),
    ],
)
def test_it_stops_after_its_patience_with_the_first_best_epochs_weights(
    store, scores: list[float], epochs: int, best: int
) -> None:
    tuning, seen = tuning_of(store), []

    def score(model: Classifier) -> float:
        seen.append({k: v.clone() for k, v in model.state_dict().items()})
        return scores[len(seen) - 1]

    tuned = tuning.run(score)
    assert (len(tuned.epochs), tuned.best) == (epochs, best)
    assert all(torch.equal(v, seen[best][k]) for k, v in tuning.model.state_dict().items())
    assert not torch.equal(seen[0]["head.weight"], seen[1]["head.weight"])


def test_no_patience_is_endless(store) -> None:
    assert len(tuning_of(store, patience=0).run(lambda _: 0.5).epochs) == 6


def test_rates_warm_up_and_fall_and_each_layer_has_its_share(store) -> None:
    tuning = tuning_of(store, epochs=4, patience=0)
    rates: list[dict[float, float]] = []
    real = tuning.optimiser.step

    def step() -> None:
        rates.append({g["lr_scale"]: g["lr"] for g in tuning.optimiser.param_groups})
        real()

    tuning.optimiser.step = step  # type: ignore[method-assign, assignment]
    tuning.run(lambda _: 0.5)
    per_epoch = tuning.loader.steps_per_epoch
    assert len(rates) == 4 * per_epoch
    for number in (0, per_epoch, 2 * per_epoch, 4 * per_epoch - 1):
        head = learning_rate(1e-2, number, per_epoch, 4 * per_epoch, 0.0)
        assert rates[number] == pytest.approx({0.75**k: head * 0.75**k for k in range(4)})
    assert rates[per_epoch][1.0] == 1e-2


def test_a_small_layer_decay_leaves_the_encoder_where_it_was(store) -> None:
    tuning, encoder = tuning_of(store, layer_decay=1e-9, patience=0), tiny_encoder()
    tuning.run(lambda _: math.nan)
    for name, value in encoder.state_dict().items():
        torch.testing.assert_close(tuning.model.encoder.state_dict()[name], value, atol=1e-6, rtol=1e-4)
    assert tuning.model.head.bias.abs().max() > 1e-3


def test_a_loss_that_is_not_finite_is_an_error_that_names_the_rate(store) -> None:
    tuning = tuning_of(store)
    nn.init.constant_(tuning.model.encoder.norm.weight, math.nan)
    with pytest.raises(NonFiniteLossError, match=r"evaluation\.finetune\.base_lr"):
        tuning.epoch(0)


@pytest.fixture(scope="module")
def evaluated(make, store) -> Evaluated:
    found = finetune(CONFIG, context_of(make, store))
    assert isinstance(found, Evaluated)
    return found


def value(evaluated: Evaluated, metric: str, label: str = "", fraction: float = 1.0) -> Any:
    (found,) = [m for m in evaluated.metrics if (m.metric, m.label, m.label_fraction) == (metric, label, fraction)]
    return found


def predicted(evaluated: Evaluated, make, fraction: float) -> np.ndarray:
    frame = evaluated.predictions
    assert frame is not None
    return frame[frame.label_fraction == fraction][[f"p:{label}" for label in make.labels]].to_numpy()


def test_what_the_films_show_is_learned_and_every_test_study_predicted(make, store, evaluated) -> None:
    assert value(evaluated, "macro_auroc").value > 0.75
    test = store.splits["test"]
    for fraction in CONFIG.fractions:
        frame = evaluated.predictions[evaluated.predictions.label_fraction == fraction]
        assert list(frame.study_id) == list(test.study_ids)
        np.testing.assert_array_equal(frame[[f"y:{label}" for label in make.labels]], test.labels)
    assert set(evaluated.predictions.evaluation) == {"finetune"}


def test_the_history_is_kept_and_the_best_epoch_is_the_best_on_validate(evaluated) -> None:
    history = pd.read_csv(io.BytesIO(evaluated.files["finetune.csv"]))
    for fraction in CONFIG.fractions:
        mine = history[history.label_fraction == fraction].reset_index(drop=True)
        assert len(mine) == value(evaluated, "epochs", fraction=fraction).value
        assert mine.macro_auroc.idxmax() + 1 == value(evaluated, "best_epoch", fraction=fraction).value
    assert mine.loss.iloc[-1] < mine.loss.iloc[0]


def test_labels_that_may_not_be_used_and_test_labels_do_not_matter(make, store, evaluated) -> None:
    train, test = store.splits["train"], store.splits["test"]
    subset = label_subset(train, 0.5, 0)
    flipped = replace(train, labels=np.where(subset[:, None], train.labels, 1 - train.labels))
    tables = {**store.splits, "train": flipped, "test": replace(test, labels=1 - test.labels)}
    found = finetune(CONFIG, context_of(make, replace(store, splits=tables)))
    assert isinstance(found, Evaluated)
    np.testing.assert_array_equal(predicted(found, make, 0.5), predicted(evaluated, make, 0.5))
    assert not np.allclose(predicted(found, make, 1.0), predicted(evaluated, make, 1.0))


def test_the_cost_is_images_and_operations_by_hand(make, store) -> None:
    table, validate = store.splits["train"], store.splits["validate"]
    config = replace(CONFIG, fractions=[1.0], epochs=3, patience=0, batch_size=10_000, base_lr=1e-4)
    context = context_of(make, store)
    found = finetune(config, context)
    assert isinstance(found, Evaluated)
    views = [len(set(table.view[a:b])) for a, b in zip(table.start[:-1], table.start[1:], strict=True)]
    assert value(found, "images").value == 3 * sum(views), "one image of each view of each study in an epoch"
    per_image = context.method.encoder.flops(4) + 2 * 16 * 3
    expected = (3 * 3 * sum(views) + 3 * validate.n_images) * per_image / 1e12
    assert value(found, "tflop").value == pytest.approx(expected)
    assert value(found, "train_studies").value == table.n_studies


def test_the_trained_encoder_is_left_as_it_was(make, store) -> None:
    context = context_of(make, store)
    before = {k: v.clone() for k, v in context.method.encoder.state_dict().items()}
    finetune(replace(CONFIG, fractions=[0.5], epochs=2), context)
    assert all(torch.equal(v, before[k]) for k, v in context.method.encoder.state_dict().items())


def test_a_label_with_one_class_in_training_gets_no_prediction_and_does_not_stop_it(make, store) -> None:
    train = store.splits["train"]
    labels = train.labels.copy()
    labels[:, 1] = 0
    tables = {**store.splits, "train": replace(train, labels=labels)}
    config = replace(CONFIG, fractions=[1.0], epochs=2)
    found = finetune(config, context_of(make, replace(store, splits=tables)))
    assert isinstance(found, Evaluated)
    assert np.isnan(predicted(found, make, 1.0)[:, 1]).all()
    assert value(found, "macro_auroc").n == 2
    assert math.isnan(value(found, "auroc", make.labels[1]).value)


def test_no_label_to_learn_at_a_fraction_is_a_hole_with_its_count(make, store) -> None:
    train = store.splits["train"]
    tables = {**store.splits, "train": replace(train, labels=np.zeros_like(train.labels))}
    found = finetune(CONFIG, context_of(make, replace(store, splits=tables)))
    assert isinstance(found, Evaluated)
    assert np.isnan(predicted(found, make, 1.0)).all()
    assert (value(found, "macro_auroc").n, value(found, "epochs").value, value(found, "images").value) == (0, 0, 0)


def test_where_it_does_not_apply_the_reason_is_said(make, store) -> None:
    def reason(context: Any) -> str:
        outcome = finetune(CONFIG, context)
        assert isinstance(outcome, Skipped)
        return outcome.reason

    assert "method fake does not say what its layers are" in reason(make.context(store))
    validate = store.splits["validate"]
    tables = {**store.splits, "validate": replace(validate, labels=np.ones_like(validate.labels))}
    assert "no label has both classes in validate" in reason(context_of(make, replace(store, splits=tables)))
    bare = {k: replace(t, labels=t.labels[:, :0], label_names=()) for k, t in store.splits.items()}
    assert "the data set has no labels" in reason(context_of(make, replace(store, splits=bare, label_names=())))


def test_supervised_training_without_labels_is_refused() -> None:
    with pytest.raises(ConfigError, match="method=supervised learns labels, and the data set has none"):
        METHODS.build(METHODS.get("supervised").config(), make_context(labels=0))


@pytest.mark.parametrize(
    ("field", "bad"),
    [("fractions", []), ("fractions", [0.0]), ("epochs", 0), ("layer_decay", 0.0), ("layer_decay", 1.1),
     ("base_lr", 0.0), ("warmup_epochs", 50.0), ("patience", -1), ("draws", 0)],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(field: str, bad: Any) -> None:
    with pytest.raises(ConfigError, match=f"evaluation.finetune.{field}"):
        FinetuneConfig(**{field: bad})
