"""A method's own classifier and its reconstructions; methods that have neither are skipped with a reason."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.data.fractions import label_subset
from core.evaluation.base import Skipped
from core.evaluation.kinds.gallery import GalleryConfig, choose, gallery
from core.evaluation.kinds.head import HeadConfig, head


def with_head(make):
    """A method whose logit for label l is the mean brightness of row l over a study's images."""

    class Predicting(make.method):
        def predict(self, images, view, study, studies):
            logits = images[:, 0].float().mean(2)[:, : len(make.labels)] / 16 - 6
            total = torch.zeros(studies, logits.shape[1]).index_add(0, study, logits)
            return total / torch.bincount(study, minlength=studies)[:, None]

    return Predicting()


def with_painter(make):
    """A method whose output is noise from the generator and whose mask blackens the upper half."""

    class Painting(make.method):
        def reconstruct(self, images, view, generator):
            clear = images[:, 0].float() / 255
            masked = clear.clone()
            masked[:, : clear.shape[1] // 2] = 0
            return {"input": clear, "masked": masked, "output": torch.rand(clear.shape, generator=generator) * 1.5}

    return Painting()


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_head_predicts_every_study_from_its_own_images(make, store, batch_size: int) -> None:
    found = head(HeadConfig(batch_size=batch_size), make.context(store, method=with_head(make)))
    table = store.splits["test"]
    for study in (0, 5, table.n_studies - 1):
        rows = table.pixels.pixels[table.start[study] : table.start[study + 1]]
        logits = rows[:, :3].mean(axis=(0, 2)) / 16 - 6
        row = found.predictions.iloc[study]
        assert row.study_id == table.study_ids[study]
        np.testing.assert_allclose([row[f"p:{n}"] for n in make.labels], 1 / (1 + np.exp(-logits)), rtol=1e-4)
    (macro,) = [m for m in found.metrics if m.metric == "macro_auroc"]
    assert macro.value > 0.8


def test_head_stands_at_its_label_fraction_with_the_seed_as_its_draw(make, store) -> None:
    config = make.config()
    config.method.label_fraction = 0.1
    train = store.splits["train"]
    labelled = label_subset(train, 0.1, config.seed)
    labels = train.labels.copy()
    labels[labelled, 2] = 0
    changed = replace(store, splits={**store.splits, "train": replace(train, labels=labels)})
    found = head(HeadConfig(), make.context(changed, config, with_head(make)))
    assert {(m.label_fraction, m.draw) for m in found.metrics} == {(0.1, 3)}
    values = {m.label: m.value for m in found.metrics if m.metric == "auroc"}
    assert math.isnan(values[make.labels[2]]), "no positive was seen in training"
    assert not math.isnan(values[make.labels[0]])


def test_gallery_keeps_bytes_of_both_views(make, store) -> None:
    context = make.context(store, method=with_painter(make))
    first, second = (gallery(GalleryConfig(studies=5), context).files["gallery.npz"] for _ in range(2))
    assert first == second
    arrays = np.load(io.BytesIO(first), allow_pickle=False)
    table = store.splits["test"]
    assert len(arrays["study_ids"]) == 5
    for position, name in enumerate(arrays["study_ids"]):
        study = list(table.study_ids).index(name)
        mine = arrays["study"] == position
        assert sorted(arrays["view"][mine]) == [0, 1]
        own = table.pixels.pixels[table.start[study] : table.start[study + 1]]
        for image in arrays["input"][mine]:
            assert (own == image).all(axis=(1, 2)).any()
    assert arrays["output"].dtype == np.uint8
    painted = 1.5 * torch.rand(arrays["output"].shape, generator=torch.Generator().manual_seed(context.seed))
    expected = np.round(255 * np.minimum(painted.numpy(), 1))
    np.testing.assert_array_equal(arrays["output"], expected, "values above 1 are clipped, not wrapped")
    assert not arrays["masked"][:, :4].any()


def test_gallery_takes_studies_with_one_view_when_no_others_are_left(store) -> None:
    table = store.splits["test"]
    studies, rows = choose(table, 10_000)
    assert len(studies) == table.n_studies
    lonely = replace(table, view=np.zeros_like(table.view))
    studies, rows = choose(lonely, 3)
    assert len(studies) == len(rows) == 3


def test_methods_without_either_are_skipped_with_a_reason(make, store) -> None:
    context = make.context(store)
    for outcome in (head(HeadConfig(), context), gallery(GalleryConfig(), context)):
        assert isinstance(outcome, Skipped)
        assert "method fake" in outcome.reason
