"""Against scikit-learn: scalings, clipping and bins of an imputed column."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from strategies import NUMBERS, batch, numeric, plan, spec, statistics

from penstock.columns.scaling import Bins
from penstock.errors import DataError, InputError
from penstock.plan import FeaturePlan
from penstock.statistics import Statistics, merge

CELLS = st.lists(NUMBERS, min_size=2, max_size=40)
SCALERS = {"standard": StandardScaler, "min_max": MinMaxScaler, "robust": RobustScaler}


def floats(cells):
    return pa.array(cells, pa.float64())


def table(cells):
    """The cells as a column for scikit-learn."""
    return np.array([math.nan if cell is None else cell for cell in cells])[:, None]


def encoded(fitted, cells, *more):
    rows = batch(x=floats(cells))
    for name, array in more:
        rows = rows.append_column(name, array)
    dense, sparse = matrices(fitted, rows)
    assert dense.tobytes() == sparse.toarray().tobytes()
    return dense


def matrices(fitted, rows):
    """Both layouts, from the plan as plan.json gives it back."""
    from dataclasses import replace

    made = [replace(fitted, layout=layout) for layout in ("dense", "sparse")]
    again = [FeaturePlan.from_json(each.to_json()) for each in made]
    assert [each.to_json() for each in again] == [each.to_json() for each in made]
    return [each.encode(rows) for each in again]


@settings(max_examples=40)
@given(CELLS, CELLS, st.sampled_from(sorted(SCALERS)), st.sampled_from(["median", "mean"]))
def test_a_scaling_is_that_of_scikit_learn(train, new, scale, impute):
    assume(any(cell is not None and not math.isnan(cell) for cell in train))
    fitted = plan(
        batch(x=floats(train)), of=spec(numeric("x", scale=scale, impute=impute, indicator=False))
    )

    found = encoded(fitted, new)

    theirs = make_pipeline(SimpleImputer(strategy=impute), SCALERS[scale]()).fit(table(train))
    # A column that varies by rounding alone is constant to one of the two.
    spread = np.ptp(SimpleImputer(strategy=impute).fit_transform(table(train)))
    assume(spread == 0 or spread > 1e-6)
    np.testing.assert_allclose(found, theirs.transform(table(new)), rtol=1e-5, atol=1e-5)


@settings(max_examples=40)
@given(st.lists(st.floats(-0.99, 1e6), min_size=2, max_size=40))
def test_log1p_is_the_logarithm_and_then_standard(train):
    fitted = plan(batch(x=floats(train)), of=spec(numeric("x", scale="log1p")))

    found = encoded(fitted, train)

    logs = FunctionTransformer(np.log1p).transform(table(train))
    assume(np.ptp(logs) == 0 or np.ptp(logs) > 1e-6)
    theirs = StandardScaler().fit_transform(logs)
    np.testing.assert_allclose(found, theirs, rtol=1e-5, atol=1e-5)


@settings(max_examples=40)
@given(CELLS, st.integers(2, 8), st.sampled_from(["one_hot", "ordinal"]))
def test_quantile_bins_are_those_of_scikit_learn(train, bins, output):
    assume(any(cell is not None and not math.isnan(cell) for cell in train))
    rule = numeric("x", scale="bins", bins=bins, bins_output=output, indicator=False)
    fitted = plan(batch(x=floats(train)), of=spec(rule))
    whole = SimpleImputer(strategy="median").fit_transform(table(train))
    assume(np.ptp(whole) > 0)

    found = encoded(fitted, whole[:, 0].tolist())

    edges = np.percentile(whole[:, 0], np.linspace(0, 100, bins + 1))
    kept = edges[np.ediff1d(edges, to_begin=np.inf) > 1e-8]
    places = np.searchsorted(kept[1:-1], whole[:, 0], side="right")
    # An edge between two values is a matter of the last bit.
    near = np.abs(np.subtract.outer(whole[:, 0], kept[1:-1])) <= 1e-9 * np.abs(kept[1:-1])
    sure = ~(near & (np.subtract.outer(whole[:, 0], kept[1:-1]) != 0)).any(axis=1)
    expected = np.eye(len(kept) - 1)[places] if output == "one_hot" else places[:, None]
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found[sure], expected[sure])


@pytest.mark.parametrize("output", ["one_hot", "ordinal"])
@pytest.mark.parametrize("bins", [2, 5, 10])
def test_bins_of_many_values_are_those_of_scikit_learn_itself(output, bins):
    values = np.random.default_rng(7).normal(size=2000).round(2)
    rule = numeric("x", scale="bins", bins=bins, bins_output=output)
    fitted = plan(batch(x=values), of=spec(rule))

    found = encoded(fitted, values)

    encode = "onehot-dense" if output == "one_hot" else "ordinal"
    theirs = KBinsDiscretizer(
        bins, encode=encode, strategy="quantile", quantile_method="linear", subsample=None
    )
    np.testing.assert_array_equal(found, theirs.fit_transform(values[:, None]))


@settings(max_examples=40)
@given(CELLS, CELLS, st.sampled_from(["standard", "min_max", "robust", "none"]))
def test_values_beyond_the_quantiles_are_clipped_before_scaling(train, new, scale):
    known = SimpleImputer(strategy="median")
    assume(any(cell is not None and not math.isnan(cell) for cell in train))
    whole = known.fit_transform(table(train))
    low, high = np.quantile(whole, [0.1, 0.9])
    assume(high - low > 1e-6 or high == low)
    rule = numeric("x", scale=scale, clip=[0.1, 0.9], indicator=False)

    found = encoded(plan(batch(x=floats(train)), of=spec(rule)), new)

    clipped = known.transform(table(new)).clip(low, high)
    if scale != "none":
        clipped = SCALERS[scale]().fit(whole.clip(low, high)).transform(clipped)
    np.testing.assert_allclose(found, clipped, rtol=1e-5, atol=1e-5)


def test_a_sketched_column_is_scaled_within_the_bound_of_its_quantiles():
    values = np.random.default_rng(3).lognormal(size=20_000)
    rules = [
        numeric("a", scale="robust"),
        numeric("b", scale="standard", clip=[0.01, 0.99]),
        numeric("c", scale="log1p"),
        numeric("d", scale="bins", bins=4, bins_output="ordinal"),
    ]
    rows = batch(**dict.fromkeys("abcd", values))

    fitted = plan(rows, of=spec(*rules))

    robust, clipped, logs, bins = fitted.columns
    bound = 2**-12
    quartiles = np.quantile(values, [0.25, 0.5, 0.75])
    assert robust.scaling.mean == pytest.approx(quartiles[1], rel=bound)
    assert robust.scaling.scale == pytest.approx(quartiles[2] - quartiles[0], rel=4 * bound)
    assert (
        robust.scaling.note
        == "median and quartiles of the imputed train split, within a relative 2^-12"
    )
    ends = np.quantile(values, [0.01, 0.99])
    assert [clipped.clip.low, clipped.clip.high] == pytest.approx(ends, rel=bound)
    assert clipped.scaling.mean == pytest.approx(values.clip(*ends).mean(), rel=bound)
    assert clipped.scaling.scale == pytest.approx(values.clip(*ends).std(), rel=4 * bound)
    # No quantile takes part in these.
    assert logs.scaling.mean == pytest.approx(np.log1p(values).mean(), rel=1e-12)
    assert logs.scaling.scale == pytest.approx(np.log1p(values).std(), rel=1e-12)
    assert bins.bins.edges == pytest.approx(quartiles, rel=bound)


@pytest.mark.parametrize("scale", ["standard", "min_max", "robust", "log1p"])
@pytest.mark.parametrize("cells", [[3.0, 3.0], [3.0, 3.0, None]])
def test_a_constant_column_comes_out_as_zeros(scale, cells):
    fitted = plan(batch(x=floats(cells)), of=spec(numeric("x", scale=scale, indicator=False)))

    assert (encoded(fitted, cells) == 0).all()
    assert fitted.columns[0].scaling.scale == 1.0


def test_fixed_edges_put_a_value_on_an_edge_into_the_bin_above():
    rule = numeric("x", scale="bins", bins=[18, 40.5, 65], impute="constant", fill_value=50)
    fitted = plan(batch(x=floats([1.0, None])), of=spec(rule))

    assert fitted.names == (
        "x=[-inf, 18)",
        "x=[18, 40.5)",
        "x=[40.5, 65)",
        "x=[65, inf)",
        "x__missing",
    )
    assert encoded(fitted, [-1e9, 17.9, 18.0, 40.5, 65.0, None]).tolist() == [
        [1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 1, 0, 1],
    ]
    assert fitted.columns[0].bins == Bins(
        edges=(18.0, 40.5, 65.0), output="one_hot", learned="given in the spec"
    )


def test_plan_json_says_what_was_clipped_and_binned():
    rows = batch(x=np.arange(101.0), z=np.array([0.0] * 60 + [1.0] * 41))
    groups = [numeric("x", clip=[0.05, 0.95], scale="min_max"), numeric("z", scale="bins", bins=4)]

    body = json.loads(plan(rows, of=spec(*groups)).to_json())

    x, z = body["columns"]
    assert x["clip"] == {
        "low": 5.0,
        "high": 95.0,
        "learned": "quantiles 0.05 and 0.95 of the imputed train split",
    }
    assert x["scale"] == {
        "rule": "min_max",
        "mean": 5.0,
        "scale": 90.0,
        "note": "minimum and maximum of the imputed train split",
    }
    assert z["bins"] == {
        "output": "one_hot",
        "edges": [],
        "learned": "quantiles of the imputed train split: 4 were asked for, some are equal",
    }
    assert "scale" not in z


def test_numbers_of_minus_one_or_less_have_no_logarithm():
    of = spec(numeric("x", scale="log1p"))
    with pytest.raises(DataError) as fit:
        plan(batch(x=floats([1.0, -1.0, -3.5, None, 8.0])), of=of)
    fitted = plan(batch(x=floats([1.0, 0.0])), of=of)
    with pytest.raises(DataError) as encode:
        fitted.encode(batch(x=floats([1.0, 2.0, -1.0])))

    assert str(fit.value) == (
        "column 'x': 2 of 5 rows of the imputed train split are -1 or less, the least is -3.5, expected "
        "numbers above -1, as scale is 'log1p'\n"
        "  mend them in merge.derive, clip them, or choose another scale"
    )
    assert str(encode.value) == (
        "table 'rows', column 'x': row 2 is -1.0, expected a number above -1, as scale is 'log1p'\n"
        "  mend it in merge.derive, or fit again with clip or another scale"
    )


def test_numbers_without_logarithm_are_counted_exactly_in_bins_too():
    values = np.concatenate((np.linspace(-2, 5, 9000), [-1.0]))

    with pytest.raises(DataError, match=f"{(values <= -1).sum():,} of 9,001 rows"):
        plan(batch(x=values), of=spec(numeric("x", scale="log1p")))


@pytest.mark.parametrize("bins", ["one_hot", "ordinal"])
def test_an_infinite_number_is_in_no_bin(bins):
    fitted = plan(batch(x=np.arange(9.0)), of=spec(numeric("x", scale="bins", bins_output=bins)))

    with pytest.raises(DataError) as caught:
        fitted.encode(batch(x=floats([1.0, math.inf])))

    assert str(caught.value) == (
        "table 'rows', column 'x': row 1 is inf, expected a finite number within the range of float32\n"
        "  mend it in merge.derive, or filter it in merge.where"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"clip": [0.99, 0.01]},
            "features: column 'x' has clip: [0.99, 0.01], expected two shares of the rows, ascending, "
            "from 0 to 1\n  write it as clip: [0.01, 0.99]",
        ),
        (
            {"scale": "bins", "bins": 1},
            "features: column 'x' has bins: 1, expected 2 or more, or a list of edges\n"
            "  set bins, or another scale",
        ),
        (
            {"scale": "bins", "bins": [2, 2]},
            "features: column 'x' has bins: [2.0, 2.0], expected one edge or more, finite and ascending\n"
            "  write them as bins: [18, 40, 65]",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    from penstock.columns.numeric import problems
    from penstock.spec import NumericFeatures

    rule = NumericFeatures.model_validate(numeric("x", **options))

    (found,) = problems("x", "double", rule)

    assert isinstance(found, InputError)
    assert str(found) == message


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.none() | st.floats(-0.5, 1e6), max_size=30), min_size=2, max_size=4),
    st.randoms(use_true_random=False),
)
def test_parts_merge_in_any_order_to_the_same_plan(parts, random):
    groups = [numeric("x", scale="log1p", clip=[0.05, 0.95]), numeric("z", scale="robust")]
    of = spec(*groups)
    states = [statistics(batch(x=floats(part), z=floats(part)), of=of) for part in parts]
    shuffled = list(states)
    random.shuffle(shuffled)
    through = [Statistics.from_json(each.to_json()) for each in shuffled]

    whole = [cell for part in parts for cell in part]
    expected = statistics(batch(x=floats(whole), z=floats(whole)), of=of).columns
    found = merge(through).columns

    for name in "xz":
        assert found[name].moments == expected[name].moments
        assert found[name].logs == expected[name].logs
        assert found[name].sketch.keys.tolist() == expected[name].sketch.keys.tolist()
