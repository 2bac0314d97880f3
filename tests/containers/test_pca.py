from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from containers.conftest import Train
from containers.jobs import Rows
from sklearn.decomposition import PCA

from penstock.containers import load_model, pca
from penstock.containers.pca import Products
from penstock.containers.pca_model import PCAModel


def rows_of(rows: int, width: int, decay: float = 0.7, offset: float = 3.0) -> Rows:
    """Return rows whose singular values fall by ``decay`` each."""
    random = np.random.default_rng(0)
    turn = np.linalg.qr(random.normal(size=(width, width)))[0]
    latent = random.normal(size=(rows, width)) * 10 * decay ** np.arange(width)
    features = latent @ turn + offset
    return Rows(features.astype(np.float32), np.zeros(rows, np.float32))


def hyperparameters(width: int, components: int, **more: str) -> dict[str, str]:
    given = {"feature_dim": str(width), "num_components": str(components), "mini_batch_size": "700"}
    return given | more


def fitted(train: Train, rows: Rows, given: dict[str, str]) -> PCAModel:
    code, base = train(pca, given, {"train": rows})
    assert code == 0
    model = load_model(base / "model")
    assert isinstance(model, PCAModel)
    return model


def aligned(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return our columns with their signs."""
    return np.asarray(ours * np.sign((ours * theirs).sum(axis=0)))


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_regular_is_scikit_learns_to_many_digits(train: Train, layout: str, offset: float) -> None:
    rows = rows_of(5000, 8, offset=offset)
    theirs = PCA(5, svd_solver="full").fit(rows.features.astype(np.float64))
    given = rows.sparse() if layout == "sparse" else rows

    model = fitted(train, given, hyperparameters(8, 5))

    v = theirs.components_[::-1].T
    digits = 1e-6 if layout == "sparse" and offset else 1e-8
    np.testing.assert_allclose(model.singular_values[::-1], theirs.singular_values_, rtol=digits)
    np.testing.assert_allclose(aligned(model.components, v), v, atol=digits)
    np.testing.assert_allclose(model.mean, theirs.mean_, rtol=1e-6, atol=1e-6)
    projected = theirs.transform(rows.features.astype(np.float64))[:, ::-1]
    np.testing.assert_allclose(
        aligned(model.score(given.features), projected), projected, atol=1e-2 * digits**0.5
    )


def test_without_the_mean_it_is_a_plain_decomposition(train: Train) -> None:
    rows = rows_of(3000, 6)
    _, theirs, right = np.linalg.svd(rows.features.astype(np.float64), full_matrices=False)

    model = fitted(train, rows, hyperparameters(6, 6, subtract_mean="false"))

    np.testing.assert_allclose(model.singular_values[::-1], theirs, rtol=1e-8)
    np.testing.assert_allclose(aligned(model.components, right[::-1].T), right[::-1].T, atol=1e-7)
    assert model.mean.tolist() == [0.0] * 6


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_randomized_finds_what_matters(train: Train, layout: str) -> None:
    rows = rows_of(4000, 120, decay=0.9)
    theirs = PCA(6, svd_solver="full").fit(rows.features)
    given = rows.sparse() if layout == "sparse" else rows

    model = fitted(train, given, hyperparameters(120, 6, algorithm_mode="randomized"))

    np.testing.assert_allclose(model.singular_values[::-1], theirs.singular_values_, rtol=1e-2)
    kept = np.linalg.norm(model.components.T @ (rows.features - model.mean).T) ** 2
    best = np.linalg.norm(theirs.components_ @ (rows.features - theirs.mean_).T) ** 2
    assert kept > 0.995 * best
    np.testing.assert_allclose(model.components.T @ model.components, np.eye(6), atol=1e-10)


def test_randomized_survives_rows_of_low_rank(train: Train) -> None:
    line = np.outer(np.arange(50), np.ones(20)).astype(np.float32)

    model = fitted(
        train,
        Rows(line, np.zeros(50, np.float32)),
        hyperparameters(20, 4, algorithm_mode="randomized", extra_components="3"),
    )

    assert model.singular_values[:3] == pytest.approx([0, 0, 0], abs=1e-4)
    np.testing.assert_allclose(np.abs(model.components[:, 3]), np.full(20, 20**-0.5), atol=1e-6)
    np.testing.assert_allclose(model.components.T @ model.components, np.eye(4), atol=1e-10)


@pytest.mark.parametrize("directions", [None, np.random.default_rng(1).normal(size=(5, 3))])
def test_products_merge_as_if_all_rows_were_one_batch(directions: Any) -> None:
    rows = rows_of(1000, 5, offset=100.0).features
    whole, left, right = (Products(5, directions) for _ in range(3))
    whole.add(rows)

    left.add(rows[:10])
    right.add(rows[10:400])
    right.add(rows[400:])
    left.merge(right)
    left.merge(Products(5, directions))

    assert left.rows == 1000
    np.testing.assert_allclose(left.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(left.applied, whole.applied, rtol=1e-8, atol=1e-6)


def test_more_components_than_features_are_refused(train: Train) -> None:
    code, base = train(pca, hyperparameters(4, 5), {"train": rows_of(10, 4)})

    assert code == 1
    assert (base / "output" / "failure").read_text() == (
        "ClientError: hyperparameters of pca: 1 problem\n"
        "  'num_components' is 5 but feature_dim is 4, expected at most that"
    )


def test_the_artifact_is_open_and_the_largest_component_is_last(train: Train) -> None:
    _, base = train(pca, hyperparameters(4, 2), {"train": rows_of(200, 4)})

    with np.load(base / "model" / "model.npz", allow_pickle=False) as arrays:
        shapes = {name: arrays[name].shape for name in arrays.files}
        assert arrays["s"][0] < arrays["s"][1]
    assert shapes == {"v": (4, 2), "s": (2,), "mean": (4,)}
    assert json.loads((base / "model" / "model.json").read_text())["num_components"] == 2
    weights = load_model(base / "model").explanation()["values"]
    assert list(weights) == ["component 1", "component 2"]
