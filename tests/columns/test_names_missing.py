"""What replaces a missing name: codes that mean missing, and names carried over from elsewhere."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import NAMES, batch, categorical, plan, spec, statistics

from penstock.errors import DataError, SchemaMismatchError, SpecError
from penstock.plan import FeaturePlan
from penstock.planning import build_plan
from penstock.specfile import parse
from penstock.statistics import Statistics, merge

ROWS = st.lists(st.tuples(NAMES, NAMES), min_size=2, max_size=30)


def table(rows):
    first, second = zip(*rows, strict=True) if rows else ((), ())
    labels = pa.array([0, 1] * len(rows))[: len(rows)]
    arrays = {"c": pa.array(first, pa.string()), "d": pa.array(second, pa.string())}
    return batch(**arrays, id=pa.array(np.arange(len(rows))), y=labels)


def carried(**options):
    return spec(categorical("c", impute="carry_over", carry_from="d", **options))


def filled(rows):
    return batch(
        c=pa.array([c if c is not None else d for c, d in rows], pa.string()),
        id=pa.array(np.arange(len(rows))),
        y=pa.array([0, 1] * len(rows))[: len(rows)],
    )


def dense(matrix):
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


@given(ROWS, ROWS, st.sampled_from(["one_hot", "ordinal", "frequency", "target", "hash"]))
@settings(max_examples=40)
def test_a_name_carried_over_is_encoded_as_if_it_had_stood_there(train, test, encode):
    given_rows = plan(table(train), of=carried(encode=encode))

    ours = dense(given_rows.encode(table(test)))

    by_hand = plan(filled(train), of=spec(categorical("c", encode=encode)))
    assert given_rows.names == by_hand.names
    np.testing.assert_array_equal(ours, dense(by_hand.encode(filled(test))))
    restored = FeaturePlan.from_json(given_rows.to_json())
    assert (restored, restored.input_columns) == (given_rows, ("c", "d"))


@given(ROWS, ROWS)
@settings(max_examples=40)
def test_two_days_merged_in_either_order_make_one_plan(first, second):
    of = carried(encode="target", indicator=True)
    days = [
        Statistics.from_json(statistics(table(rows), of=of).to_json()) for rows in (first, second)
    ]

    one = build_plan(merge(days).trimmed(), of, fitted_on={})

    assert one.to_json() == build_plan(merge(days[::-1]).trimmed(), of, fitted_on={}).to_json()


def test_the_indicator_says_where_the_column_itself_was_missing():
    rows = [("a", "b"), (None, "b"), ("?", "a"), (None, None)]
    of = carried(indicator=True, missing_values=["?"], fallback="most_frequent")
    fitted = dataclasses.replace(plan(table(rows), of=of), layout="dense")

    found = fitted.encode(table(rows))

    assert fitted.names == ("c=a", "c=b", "c__missing")
    assert found.tolist() == [[1, 0, 0], [0, 1, 1], [1, 0, 1], [1, 0, 1]]
    (column,) = fitted.columns
    assert column.carry == type(column.carry)(column="d", rows=2, both_missing=1)


def test_rows_where_both_are_missing_are_refused_if_fallback_says_so():
    rows = [("a", "b"), (None, "b")]
    fitted = plan(table(rows), of=carried(fallback="refuse"))

    with pytest.raises(DataError) as at_encode:
        fitted.encode(table([*rows, (None, None)]))
    with pytest.raises(DataError) as at_fit:
        plan(table([*rows, (None, None)]), of=carried(fallback="refuse"))

    assert str(at_encode.value) == (
        "table 'rows', column 'c (or d)': 1 of 3 rows are missing, the first is row 2, expected none, as "
        "fallback is 'refuse'\n"
        "  mend the rows, or choose another fallback rule for the column and fit again"
    )
    assert str(at_fit.value) == (
        "column 'c (or d)': 1 of 3 rows of the train split are missing, expected none, as fallback is "
        "'refuse'\n"
        "  choose another fallback rule for it, or filter those rows in merge.where"
    )


def test_a_column_of_times_carries_no_names():
    fitted = plan(table([("a", "b"), (None, "b")]), of=carried())
    rows = batch(c=["a"], d=pa.array([0], pa.timestamp("us")))

    with pytest.raises(SchemaMismatchError) as caught:
        fitted.encode(rows)

    assert str(caught.value) == (
        "table 'rows', column 'd': type is timestamp[us], expected a string, number, boolean or date\n"
        "  derive a name or a number from it in merge.derive, as hour(...) of a timestamp"
    )


SPEC = """\
name: p
task: binary
label: {column: y}
sources: {s: {path: s, format: csv}}
merge: {base: s, key: [id]}
features:
  - {kind: categorical, columns: [c], %s}
train: [{algorithm: xgboost, hyperparameters: {num_round: 3, objective: 'binary:logistic'}}]
"""


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("impute: carry_over", "carry_from: is needed with impute: carry_over"),
        ("carry_from: d", "carry_from: is given without impute: carry_over"),
        ("fallback: refuse", "fallback: is given, but impute is constant; it goes with carry_over"),
    ],
)
def test_options_of_carrying_over_need_each_other(options, problem):
    with pytest.raises(SpecError) as caught:
        parse(SPEC % options, path="p.yaml")

    assert str(caught.value) == f"p.yaml: 1 problem\n  line 7, features[0].{problem}"
