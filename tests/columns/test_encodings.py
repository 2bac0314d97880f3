"""Ordinal, frequency and hash: against scikit-learn and pandas; rules; refusals; the plan's words."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import OrdinalEncoder
from strategies import NAMES, batch, categorical, plan, spec, statistics

from penstock.errors import DataError, SpecError
from penstock.plan import FeaturePlan
from penstock.planning import build_plan
from penstock.specfile import parse
from penstock.statistics import Statistics, merge

CELLS = st.lists(NAMES, min_size=2, max_size=30)
GOLDEN = [730, 921, 334, 96, 856]  # of UA, the empty text, naïve, (missing), 17


def table(cells):
    return batch(c=pa.array(cells, pa.string()), y=pa.array([0, 1] * len(cells))[: len(cells)])


def of(**options):
    return spec(categorical("c", **options))


def encoded(fitted, cells):
    matrix = fitted.encode(table(cells))
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def named(cells):
    return np.array(["(missing)" if c is None else c for c in cells], object)[:, None]


@given(CELLS, CELLS)
@settings(max_examples=40)
def test_ordinal_by_name_is_that_of_scikit_learn(train, test):
    fitted = plan(table(train), of=of(encode="ordinal", by="name", unknown="own"))

    ours = encoded(fitted, test)

    values = sorted(set(named(train)[:, 0]), key=str.encode)
    theirs = OrdinalEncoder(
        categories=[values], handle_unknown="use_encoded_value", unknown_value=-1
    ).fit(named(train))
    np.testing.assert_array_equal(ours, theirs.transform(named(test)))


@given(CELLS, CELLS, st.integers(1, 4))
@settings(max_examples=40)
def test_ordinal_by_frequency_numbers_the_most_frequent_first_and_the_rare_last(train, test, least):
    fitted = plan(table(train), of=of(encode="ordinal", min_frequency=least))

    ours = encoded(fitted, test)[:, 0]

    counts = pd.Series(named(train)[:, 0]).value_counts()
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0].encode()))
    kept = [value for value, count in ranked if count >= least]
    rare = len(kept) if len(kept) < len(ranked) else -1
    places = {value: place for place, value in enumerate(kept)}
    assert ours.tolist() == [places.get(value, rare) for value in named(test)[:, 0]]


@given(CELLS, CELLS, st.sampled_from(["group", "zeros"]))
@settings(max_examples=40)
def test_frequency_is_the_share_of_train_rows(train, test, rare):
    fitted = plan(table(train), of=of(encode="frequency", min_frequency=2, rare=rare))

    ours = encoded(fitted, test)[:, 0]

    shares = pd.Series(named(train)[:, 0]).value_counts(normalize=True)
    frequent = shares[shares * len(train) > 1.5]
    other = 1 - frequent.sum() if rare == "group" else 0.0
    expected = [frequent.get(value, other) for value in named(test)[:, 0]]
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-7)


@given(CELLS, CELLS, st.integers(1, 9), st.booleans())
@settings(max_examples=40)
def test_hash_is_the_xxh64_of_the_text_modulo_the_buckets(train, test, buckets, signed):
    fitted = plan(table(train), of=of(encode="hash", buckets=buckets, signed=signed))

    ours = encoded(fitted, test)

    hashes = [xxhash.xxh64_intdigest(value.encode()) for value in named(test)[:, 0]]
    expected = np.zeros((len(test), buckets))
    for row, found in enumerate(hashes):
        expected[row, found % buckets] = -1 if signed and found >= 2**63 else 1
    np.testing.assert_array_equal(ours, expected)


def test_hash_has_golden_buckets():
    fitted = plan(table(["a"] * 4), of=of(encode="hash", buckets=1000))

    found = encoded(fitted, ["UA", "", "naïve", None, "17"])

    assert found.argmax(axis=1).tolist() == GOLDEN


def test_a_number_and_its_text_are_one_value_to_the_hash():
    rows = batch(c=pa.array([17, None, 3]), y=[0, 1, 0])
    fitted = plan(rows, of=of(encode="hash", buckets=1000))

    assert fitted.encode(rows).toarray()[0].argmax() == GOLDEN[-1]
    assert fitted.encode(batch(c=pa.array([17.0])))[[0]].toarray().argmax() == GOLDEN[-1]


ENCODINGS = st.sampled_from(
    [
        {"encode": "ordinal", "unknown": "own"},
        {"encode": "ordinal", "by": "name", "max_categories": 2},
        {"encode": "frequency", "min_frequency": 2, "unknown": "zeros"},
        {"encode": "hash", "buckets": 5},
        {"encode": "hash", "buckets": 3, "signed": True},
    ]
)


@given(CELLS, CELLS, ENCODINGS, st.booleans())
@settings(max_examples=40)
def test_dense_and_sparse_are_equal_to_the_bit_and_so_is_the_plan_read_back(
    train, test, options, empty
):
    fitted = plan(table(train), of=of(**options, indicator=True, missing_values=["a"]))
    rows = table([] if empty else test)

    dense = dataclasses.replace(fitted, layout="dense").encode(rows)
    sparse = dataclasses.replace(fitted, layout="sparse").encode(rows)
    restored = FeaturePlan.from_json(fitted.to_json())

    assert dense.shape == sparse.shape == (rows.num_rows, fitted.width)
    np.testing.assert_array_equal(dense.view(np.uint32), sparse.toarray().view(np.uint32))
    assert (sparse.data != 0).all()
    assert (restored, restored.to_json()) == (fitted, fitted.to_json())


@given(CELLS, CELLS, ENCODINGS)
@settings(max_examples=40)
def test_two_days_merged_in_either_order_make_one_plan(first, second, options):
    rule = of(**options, missing_values=["b"])
    days = [
        Statistics.from_json(statistics(table(cells), of=rule).to_json())
        for cells in (first, second)
    ]

    one = build_plan(merge(days).trimmed(), rule, fitted_on={})
    other = build_plan(merge(days[::-1]).trimmed(), rule, fitted_on={})
    whole = build_plan(statistics(table(first), table(second), of=rule), rule, fitted_on={})

    assert one.to_json() == other.to_json() == whole.to_json()


def test_values_declared_missing_are_missing():
    fitted = plan(
        table(["a", "unknown", "a", None]),
        of=of(missing_values=["unknown"], impute="most_frequent", indicator=True),
    )

    assert fitted.names == ("c=a", "c__missing")
    assert encoded(fitted, ["unknown", "a", None]).tolist() == [[1, 1], [1, 0], [1, 1]]


@pytest.mark.parametrize(
    ("options", "other"),
    [({"encode": "ordinal"}, "rare or own"), ({"encode": "frequency"}, "rare or zeros")],
)
def test_unknown_values_are_refused_if_the_rule_says_so(options, other):
    fitted = plan(table(["a", "b", "a"]), of=of(**options, unknown="refuse"))

    with pytest.raises(DataError) as caught:
        fitted.encode(table(["a", "new"]))

    assert str(caught.value) == (
        "table 'rows', column 'c': row 1 is 'new', expected a value of the train split, as unknown is "
        "'refuse': 'a', 'b'\n"
        f"  mend the value, or set unknown: {other} on the column and fit again"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"encode": "ordinal", "min_frequency": 2},
            ["number of the category by frequency: 0 is 'a', 1 a rare value, -1 an unknown value"],
        ),
        (
            {"encode": "ordinal", "by": "name"},
            ["number of the category by name: 0 is '(missing)', -1 an unknown value"],
        ),
        ({"encode": "frequency"}, ["share of the train rows that have its value"]),
        (
            {"encode": "hash", "buckets": 2, "signed": True},
            [
                "1 or -1 where the XXH64 of its value, modulo 2, is 0, else 0",
                "1 or -1 where the XXH64 of its value, modulo 2, is 1, else 0",
            ],
        ),
        (
            {"min_frequency": 2, "indicator": True},
            [
                "1 where it is 'a', else 0",
                "1 where it is one of 2 rare values, else 0",
                "1 where it is missing, else 0",
            ],
        ),
    ],
)
def test_every_output_is_said_in_words(options, words):
    fitted = plan(table(["b", "a", "a", None]), of=of(**options))

    assert [fitted.explain(at).words for at in range(fitted.width)] == words
    assert {fitted.source_of(at) for at in range(fitted.width)} == {"c"}


SPEC = """\
name: p
task: binary
label: {column: y}
sources: {s: {path: s, format: csv}}
merge: {base: s, key: [id]}
features:
  - kind: categorical
    columns: [c]
%s
train: [{algorithm: xgboost, hyperparameters: {num_round: 3, objective: 'binary:logistic'}}]
"""


@pytest.mark.parametrize(
    ("lines", "problems"),
    [
        (
            ["encode: hash", "min_frequency: 2", "unknown: zeros"],
            [
                "line 10, features[0].min_frequency: is given, but encode is hash; it goes with one_hot, "
                "ordinal, frequency, target",
                "line 11, features[0].unknown: is given, but encode is hash; it goes with one_hot, "
                "ordinal, frequency, target",
            ],
        ),
        (
            ["encode: ordinal", "unknown: zeros", "buckets: 7"],
            [
                "line 10, features[0].unknown: found 'zeros', expected rare, own, refuse with ordinal",
                "line 11, features[0].buckets: is given, but encode is ordinal; it goes with hash",
            ],
        ),
        (
            ["encode: target", "smooth: -1", "rare: zeros"],
            [
                "line 10, features[0].smooth: found -1.0, expected auto or a number from 0",
                "line 11, features[0].rare: is given, but encode is target; it goes with one_hot, "
                "frequency",
            ],
        ),
        (
            ["by: name", "unknown: own"],
            [
                "line 9, features[0].by: is given, but encode is one_hot; it goes with ordinal",
                "line 10, features[0].unknown: found 'own', expected rare, zeros, refuse with one_hot",
            ],
        ),
    ],
)
def test_options_that_do_not_go_with_the_encoding_are_refused_with_their_lines(lines, problems):
    text = SPEC % "\n".join(f"    {line}" for line in lines)

    with pytest.raises(SpecError) as caught:
        parse(text, path="p.yaml")

    assert str(caught.value).split("\n  ") == ["p.yaml: 2 problems", *problems]
