"""Frozen features: each image once, a study's feature the mean of its images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.data.types import View
from core.errors import CheckpointError, ConfigError
from core.evaluation.features import extract


def test_every_image_is_encoded_exactly_once(make) -> None:
    store = make.store()
    extract(store, make.method(), make.config(batch_size=7).evaluation, "cpu")
    for table in store.splits.values():
        assert (table.pixels.reads == 1).all()


def test_features_do_not_depend_on_the_batch_size(make, store) -> None:
    small, large = (extract(store, make.method(), make.config(batch_size=b).evaluation, "cpu") for b in (5, 1000))
    np.testing.assert_allclose(small["test"].image, large["test"].image, rtol=1e-6)


def test_features_are_the_encoders(make, store) -> None:
    method, table = make.method(), store.splits["test"]
    found = extract(store, method, make.config().evaluation, "cpu")["test"]
    row = 11
    pixels = torch.from_numpy(table.pixels.pixels[row : row + 1])[:, None]
    expected = method.encoder.embed(pixels, torch.tensor([table.view[row]]))[0]
    np.testing.assert_allclose(found.image[row], expected.numpy(), rtol=1e-6)
    assert found.image.dtype == np.float32


@pytest.mark.parametrize("level", ["study", "frontal", "lateral"])
def test_a_studys_feature_is_the_mean_of_its_images(make, store, level: str) -> None:
    table = store.splits["test"]
    found = extract(store, make.method(), make.config().evaluation, "cpu")["test"]
    means, present = found.at(level)
    for study in range(table.n_studies):
        rows = [
            i
            for i in range(table.start[study], table.start[study + 1])
            if level == "study" or View(int(table.view[i])).label == level
        ]
        assert present[study] == bool(rows)
        expected = found.image[rows].mean(axis=0) if rows else np.zeros(means.shape[1])
        np.testing.assert_allclose(means[study], expected, rtol=1e-5)


def test_an_unknown_level_is_named(make, store) -> None:
    features = extract(store, make.method(), make.config().evaluation, "cpu")
    with pytest.raises(ConfigError, match="lateral"):
        features["test"].at("laterl")


def test_features_that_are_not_finite_are_refused(make, store) -> None:
    method = make.method()
    method.encoder.projection[0, 0] = float("nan")
    with pytest.raises(CheckpointError, match="not finite"):
        extract(store, method, make.config().evaluation, "cpu")
