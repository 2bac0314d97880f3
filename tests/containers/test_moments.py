from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from penstock.containers.moments import Moments, Scaling
from penstock.errors import DataError

RANDOM = np.random.default_rng(5)


def matrix(rows: int, width: int = 4, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    found = random.normal(size=(rows, width)) * (random.random((rows, width)) < 0.4)
    return found.astype(np.float32)


def moments_of(parts: list[np.ndarray], *, layout: str) -> Moments:
    moments = Moments(parts[0].shape[1])
    for part in parts:
        moments.add(part if layout == "dense" else sparse.csr_array(part), "here")
    return moments


@given(cut=st.integers(1, 49), seed=st.integers(0, 20), layout=st.sampled_from(["dense", "sparse"]))
def test_moments_of_batches_are_those_of_all_rows(cut: int, seed: int, layout: str) -> None:
    rows = matrix(50, seed=seed)

    moments = moments_of([rows[:cut], rows[cut:]], layout=layout)

    assert moments.rows == 50
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0, dtype="f8"), atol=1e-9)
    np.testing.assert_allclose(moments.deviation, rows.astype("f8").std(axis=0), atol=1e-7)


def test_large_values_with_a_small_spread_keep_their_deviation() -> None:
    rows = (2013 + np.arange(1000)[:, None] % 2).astype(np.float32)

    assert moments_of([rows[:10], rows[10:]], layout="dense").deviation.tolist() == [0.5]


def test_a_constant_column_has_no_deviation_at_all() -> None:
    rows = np.full((1000, 1), 0.1, np.float32)

    assert moments_of([rows[:300], rows[300:]], layout="dense").deviation.tolist() == [0.0]


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_an_error_that_names_its_feature(
    layout: str, bad: float
) -> None:
    rows = matrix(9)
    rows[5, 2] = bad

    with pytest.raises(DataError) as caught:
        moments_of([rows], layout=layout)

    assert str(caught.value) == (
        "here: feature 2 has a value that is NaN, infinite or too large, "
        "expected finite float32 numbers\n  impute it in the plan"
    )


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("center", [True, False])
def test_scaling_is_folded_into_weights_and_gradients(layout: str, center: bool) -> None:
    rows = matrix(60) + np.float32(0.0)
    scaling = Scaling.of(moments_of([rows], layout=layout), scale=True, center=center)
    features = rows if layout == "dense" else sparse.csr_array(rows)
    weights, bias = RANDOM.normal(size=(4, 2)), RANDOM.normal(size=2)
    slopes = RANDOM.normal(size=(60, 2)).astype(np.float32)
    scaled = (rows.astype("f8") - scaling.shift) * scaling.factor

    margins = scaling.margins(features, weights, bias)
    gradient, bias_gradient = scaling.gradient(features, slopes)
    plain, plain_bias = scaling.plain(weights, bias)

    np.testing.assert_allclose(margins, scaled @ weights + bias, atol=1e-4)
    np.testing.assert_allclose(gradient, scaled.T @ slopes, atol=1e-3)
    np.testing.assert_allclose(bias_gradient, slopes.sum(axis=0), atol=1e-4)
    np.testing.assert_allclose(rows @ plain + plain_bias, scaled @ weights + bias, atol=1e-5)
    assert np.allclose(scaled.std(axis=0), 1)
    assert np.allclose(scaled.mean(axis=0), 0) == center
