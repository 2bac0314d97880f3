"""What is left out of a plan, and the reasons it gives; against scikit-learn and pandas."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.feature_selection import VarianceThreshold
from strategies import NAMES, NUMBERS, batch, categorical, numeric, plan, spec, statistics

from penstock.errors import DataError
from penstock.plan import FeaturePlan
from penstock.statistics import Statistics, merge

COLUMNS = st.integers(2, 20).flatmap(
    lambda rows: st.lists(st.lists(NUMBERS, min_size=rows, max_size=rows), min_size=1, max_size=4)
)


def table(columns, **more):
    return batch(**{f"x{at}": pa.array(c, pa.float64()) for at, c in enumerate(columns)}, **more)


def boolean(*names, **options):
    return {"kind": "boolean", "columns": list(names), **options}


@settings(max_examples=30)
@given(COLUMNS, st.sampled_from([0.0, 1.0, 50.0]))
def test_columns_that_vary_too_little_are_those_of_scikit_learn(columns, least):
    known = pd.DataFrame(np.array(columns, float).T)
    assume(known.notna().any().all())
    filled = known.fillna(known.median())
    assume(not any(0 < abs(v - least) < 1e-6 for v in filled.var(ddof=0)))
    names = [f"x{at}" for at in known]
    of = spec(
        numeric(*names), {"kind": "categorical", "columns": ["c"]}, select={"min_variance": least}
    )

    fitted = plan(table(columns, c=["a"] * len(known)), of=of)

    theirs = VarianceThreshold(least)
    try:
        kept = theirs.fit(filled).get_support()
    except ValueError:  # it refuses to leave out all columns
        kept = np.zeros(len(names), bool)
    assert set(fitted.dropped) == {name for name, keep in zip(names, kept, strict=True) if not keep}


@settings(max_examples=30)
@given(COLUMNS, st.sampled_from([0.0, 0.2, 0.7]))
def test_columns_that_say_little_of_the_label_are_left_out(columns, least):
    known = pd.DataFrame(np.array(columns, float).T)
    assume(known.notna().any().all())
    label = pd.Series(np.arange(len(known)) % 2)
    names = [f"x{at}" for at in known]
    of = spec(numeric(*names), categorical("c"), select={"min_label_correlation": least})

    fitted = plan(table(columns, c=["a"] * len(known)), of=of)

    for name, column in zip(names, known, strict=True):
        series = known[column]
        present = series.notna()
        flat = series[present].std(ddof=0) < 1e-6 or label[present].nunique() < 2
        expected = math.nan if flat else abs(series.corr(label))
        if not math.isnan(expected) and abs(expected - least) > 1e-6:
            assert (name in fitted.dropped) == (expected < least)
        if series[present].nunique() == 1:
            assert name in fitted.dropped


def test_booleans_vary_and_correlate_as_numbers_do():
    random = np.random.default_rng(1)
    label = random.integers(0, 2, 400)
    likely = np.where(random.random(400) < 0.8, label, 1 - label).astype(bool)
    rows = {"b": likely, "f": random.random(400) < 0.5, "always": np.ones(400, bool), "y": label}
    rows = batch(**{name: pa.array(values) for name, values in rows.items()})

    fitted = plan(
        rows,
        of=spec(
            boolean("b", "f", "always"), select={"min_label_correlation": 0.3, "min_variance": 0}
        ),
    )

    noise = np.corrcoef(rows.column("f").to_numpy(zero_copy_only=False), label)[0, 1]
    assert fitted.names == ("b",)
    assert fitted.dropped == {
        "f": f"its correlation with the label is {noise:.4g}, nearer to 0 than "
        "select.min_label_correlation 0.3",
        "always": "its variance is 0, not above select.min_variance 0",
    }


CELLS = st.integers(2, 12).flatmap(
    lambda rows: st.lists(
        st.tuples(*[st.lists(each, min_size=rows, max_size=rows) for each in (NUMBERS, NAMES)]),
        min_size=2,
        max_size=4,
    )
)


@settings(max_examples=30)
@given(CELLS, st.randoms(use_true_random=False), st.integers(0, 12))
def test_equal_columns_have_equal_fingerprints_whatever_the_order_of_rows(pairs, random, cut):
    columns = {}
    for at, (numbers, names) in enumerate(pairs):
        columns |= {
            f"n{at}": pa.array(numbers, pa.float64()),
            f"c{at}": pa.array(names, pa.string()),
        }
        columns |= {f"N{at}": columns[f"n{at}"], f"C{at}": columns[f"c{at}"].dictionary_encode()}
    rows = batch(**columns)
    of = spec(
        numeric(*[name for name in columns if name[0] in "nN"]),
        categorical(*[name for name in columns if name[0] in "cC"]),
        select={"drop_duplicates": True},
    )
    order = list(range(rows.num_rows))
    random.shuffle(order)
    shuffled = rows.take(pa.array(order))
    parts = [statistics(shuffled.slice(0, cut), of=of), statistics(shuffled.slice(cut), of=of)]
    parts = [Statistics.from_json(part.to_json()) for part in parts]

    found = merge(parts).fingerprints

    assert found == merge(parts[::-1]).fingerprints == statistics(rows, of=of).fingerprints

    def cells(name):
        # A NaN and a null are both missing.
        return tuple(None if cell != cell else cell for cell in columns[name].to_pylist())

    for kinds in ("nN", "cC"):
        names = [name for name in columns if name[0] in kinds]
        for a in names:
            for b in names:
                assert (found[a] == found[b]) == (cells(a) == cells(b))


def test_a_copy_is_left_out_and_a_shuffled_column_is_not():
    values = np.random.default_rng(0).normal(size=300)
    rows = batch(a=values, b=values[::-1].copy(), c=values, d=values, e=values.astype(np.float32))
    groups = [numeric("a", "b", "c"), numeric("d", scale="robust"), numeric("e")]

    fitted = plan(rows, of=spec(*groups, select={"drop_duplicates": True}))

    assert fitted.names == ("a", "b", "d", "e")
    assert fitted.dropped == {"c": "all its cells equal those of 'a'"}


def test_without_select_nothing_is_compared():
    rows = batch(a=[1.0, 2.0], b=[1.0, 2.0])
    of = spec(numeric("a", "b"))

    assert plan(rows, of=of).dropped == {}
    assert statistics(rows, of=of).fingerprints == {}
    assert "dropped" not in json.loads(plan(rows, of=of).to_json())


def test_a_column_with_too_many_holes_is_left_out_or_refused():
    rows = batch(
        x=pa.array([1.0, None, -9.0, None]),
        c=pa.array([None, "?", "a", "a"]),
        z=[1.0, 2.0, 3.0, 4.0],
    )
    limits = {"max_missing_share": 0.5}
    dropping = spec(
        numeric("x", missing_values=[-9], on_excess="drop", **limits),
        numeric("z"),
        categorical("c", **limits),
        {"kind": "interaction", "of": ["x", "z"], "name": "xz"},
    )
    refusing = spec(numeric("x", missing_values=[-9], **limits), numeric("z"))

    fitted = plan(rows, of=dropping)

    assert fitted.names[0] == "z"
    assert "x" not in fitted.input_columns
    assert json.loads(fitted.to_json())["dropped"] == [
        {
            "name": "x",
            "reason": "3 of 4 rows of the train split are missing, more than max_missing_share 0.5",
        },
        {"name": "xz", "reason": "its part 'x' is left out"},
    ]
    assert FeaturePlan.from_json(fitted.to_json()).dropped == fitted.dropped
    with pytest.raises(DataError) as caught:
        plan(rows, of=refusing)
    assert str(caught.value) == (
        "column 'x': 3 of 4 rows of the train split are missing, a share of 0.75, expected at most "
        "max_missing_share 0.5\n"
        "  set on_excess: drop to leave it out, raise max_missing_share, or mend its source"
    )


def test_a_plan_without_columns_is_refused():
    rows = batch(a=[1.0, 1.0], b=[2.0, 2.0])

    with pytest.raises(DataError) as caught:
        plan(rows, of=spec(numeric("a", "b"), select={"min_variance": 0.5}))

    assert str(caught.value) == (
        "features: all 2 columns are left out of the plan, expected one at least\n"
        "  a: its variance is 0, not above select.min_variance 0.5\n"
        "  b: its variance is 0, not above select.min_variance 0.5\n"
        "  relax select or max_missing_share, or check merge.derive and merge.where"
    )
