"""The map of features: principal components as scikit-learn's, neighbours kept by t-SNE, the same bytes twice."""

from __future__ import annotations

import io

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from core.errors import ConfigError
from core.evaluation.kinds.embedding import EmbeddingConfig, embedding, neighbours, principal


def test_points_are_the_films_first_two_principal_components(make, store) -> None:
    context = make.context(store)
    first, second = (embedding(EmbeddingConfig(), context).files["embedding.npz"] for _ in range(2))
    assert first == second
    arrays = np.load(io.BytesIO(first), allow_pickle=False)
    table, own = store.splits["test"], context.features["test"]
    expected = PCA(2).fit_transform(StandardScaler().fit_transform(own.image))
    np.testing.assert_allclose(np.abs(arrays["pca"]), np.abs(expected), atol=1e-3)
    assert (arrays["view"] == table.view).all()
    np.testing.assert_array_equal(arrays["truth"], context.labels["test"][own.study])
    assert set(arrays.files) == {"pca", "view", "site", "truth", "labels"}, "no ids of patients or studies"


def test_films_are_thinned_evenly(make, store) -> None:
    arrays = np.load(io.BytesIO(embedding(EmbeddingConfig(max_images=10), make.context(store)).files["embedding.npz"]))
    table = store.splits["test"]
    assert (arrays["view"] == table.view[np.arange(10) * table.n_images // 10]).all()


def test_tsne_keeps_groups_together_and_gives_the_same_twice() -> None:
    rng = np.random.default_rng(0)
    group = np.arange(24) % 3
    x = (rng.normal(size=(24, 6)) + 12 * np.eye(6)[group]).astype(np.float32)
    points = neighbours(x, 30.0, 0)
    assert (points == neighbours(x, 30.0, 0)).all()
    apart = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(24)
    assert (group[apart.argmin(axis=1)] == group).all()


def test_features_without_a_spread_lie_in_one_point() -> None:
    assert not principal(np.ones((6, 4), np.float32), 30.0, 0).any()
    assert principal(np.arange(6, dtype=np.float32)[:, None], 30.0, 0).shape == (6, 2)
    with pytest.raises(ConfigError, match=r"did you mean|possible"):
        EmbeddingConfig(maps=["umap"])
