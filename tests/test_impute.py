"""Against scikit-learn; and what cannot be learned."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from strategies import NAMES, NUMBERS, batch, categorical, numeric, spec, statistics

from penstock.errors import DataError
from penstock.impute import categorical_fill, imputed_moments, numeric_fill
from penstock.sketch import moments_of
from penstock.spec import CategoricalFeatures, NumericFeatures


def states(cells, group):
    of = spec(group)
    return statistics(batch(x=cells), of=of).columns["x"]


def number_fill(cells, **options):
    rule = NumericFeatures.model_validate(numeric("x", **options))
    return numeric_fill(states(pa.array(cells, pa.float64()), numeric("x")), rule)


def name_fill(cells, **options):
    rule = CategoricalFeatures.model_validate(categorical("x", **options))
    return categorical_fill(states(pa.array(cells, pa.string()), categorical("x")), rule)


@given(
    st.lists(NUMBERS, min_size=1, max_size=30), st.sampled_from(["median", "mean", "most_frequent"])
)
def test_a_number_is_filled_as_scikit_learn_does(cells, impute):
    known = np.array([math.nan if cell is None else cell for cell in cells])
    assume(not np.isnan(known).all())

    fill = number_fill(cells, impute=impute)

    expected = SimpleImputer(strategy=impute).fit(known[:, None]).statistics_[0]
    assert fill.value == pytest.approx(expected, rel=1e-12, abs=1e-9)
    assert fill.missing_rows == int(np.isnan(known).sum())
    assert fill.indicator == bool(np.isnan(known).any())


@given(st.lists(NAMES, min_size=1, max_size=30))
def test_a_name_is_filled_as_scikit_learn_does(cells):
    assume(any(cell is not None for cell in cells))

    fill = name_fill(cells, impute="most_frequent")

    column = np.array(cells, dtype=object)[:, None]
    expected = SimpleImputer(strategy="most_frequent", missing_values=None).fit(column)
    assert fill.value == expected.statistics_[0]


def test_a_fill_tells_how_it_was_learned():
    fills = [
        number_fill([1.0, 4.0, None], impute="median"),
        number_fill([1.0, 4.0, None], impute="mean"),
        number_fill([1.0, 4.0, 4.0, None], impute="most_frequent"),
        number_fill([1.0, 4.0], impute="constant", fill_value=-1),
        number_fill([1.0, 4.0], impute="refuse"),
        name_fill(["a", "b", "b", None], impute="most_frequent"),
        name_fill(["a", None]),
    ]

    assert [(fill.value, fill.learned) for fill in fills] == [
        (2.5, "median of 2 values"),
        (2.5, "mean of 2 values"),
        (4.0, "most frequent: 2 of 3 values"),
        (-1.0, "given in the spec"),
        (None, "no cell of the train split is missing"),
        ("b", "most frequent: 2 of 3 values"),
        ("(missing)", "given in the spec"),
    ]
    assert [fill.missing_share for fill in fills[:3]] == [1 / 3, 1 / 3, 0.25]


def test_the_median_of_many_values_says_how_near_it_is():
    values = np.random.default_rng(1).normal(100, 5, 5001)

    fill = number_fill(values, impute="median")

    assert fill.learned == "median of 5,001 values, within a relative 2^-12"
    assert fill.value == pytest.approx(np.median(values), rel=2**-12)


@given(st.lists(st.floats(-100, 100), min_size=1), st.integers(0, 9), st.floats(-100, 100))
def test_moments_after_imputation_are_those_of_the_filled_column(values, missing, fill):
    filled = np.concatenate((values, np.full(missing, fill)))

    moments = imputed_moments(moments_of(np.array(values)), missing, fill)

    assert moments.count == len(filled)
    assert moments.mean == pytest.approx(filled.mean(), abs=1e-9)
    assert moments.variance == pytest.approx(filled.var(), abs=1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: number_fill([None, math.nan]),
            "column 'x': all 2 rows of the train split are missing, expected some values to learn "
            "impute: median from\n  leave it out of features, or set impute: constant and fill_value",
        ),
        (
            lambda: number_fill([None, math.inf], impute="mean"),
            "column 'x': all 2 rows of the train split are infinite or missing, expected some values to "
            "learn impute: mean from\n  leave it out of features, or set impute: constant and fill_value",
        ),
        (
            lambda: number_fill([1.0, None, 2.0], impute="refuse"),
            "column 'x': 1 of 3 rows of the train split are missing, expected none, as impute is 'refuse'\n"
            "  choose another impute rule for it, or filter those rows in merge.where",
        ),
        (
            lambda: number_fill(np.arange(4097.0), impute="most_frequent"),
            "column 'x': impute is 'most_frequent', and the train split has about 4,065 distinct values, "
            "expected at most 4,096\n  set impute: median or mean on it",
        ),
        (
            lambda: name_fill([None], impute="most_frequent"),
            "column 'x': all 1 rows of the train split are missing, expected some values to learn "
            "impute: most_frequent from\n  leave it out of features, or set impute: constant",
        ),
        (
            lambda: name_fill(["a", None], impute="refuse"),
            "column 'x': 1 of 2 rows of the train split are missing, expected none, as impute is 'refuse'\n"
            "  choose another impute rule for it, or filter those rows in merge.where",
        ),
    ],
    ids=["all-null", "infinite", "refuse", "mode", "no-name", "refuse-name"],
)
def test_what_cannot_be_learned_is_an_error_with_a_remedy(make, message):
    with pytest.raises(DataError) as caught:
        make()

    assert str(caught.value) == message
