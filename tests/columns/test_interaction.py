"""Products of columns, against numpy on the columns themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import NAMES, NUMBERS, batch, categorical, numeric, plan, spec

from penstock.columns.interaction import rule_problems
from penstock.errors import DataError, InputError
from penstock.plan import FeaturePlan
from penstock.spec import InteractionFeatures

ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, NAMES), min_size=2, max_size=30)


def interaction(*names, **options):
    return {"kind": "interaction", "of": list(names), **options}


def table(cells):
    return batch(
        a=pa.array([a for a, _, _ in cells], pa.float64()),
        b=pa.array([b for _, b, _ in cells], pa.float64()),
        c=pa.array([c for _, _, c in cells], pa.string()),
    )


def both(fitted, rows):
    again = FeaturePlan.from_json(fitted.to_json())
    assert again.to_json() == fitted.to_json()
    dense = replace(again, layout="dense").encode(rows)
    sparse = replace(again, layout="sparse").encode(rows)
    assert dense.tobytes() == sparse.toarray().tobytes()
    assert (sparse.data != 0).all()
    return dense


@settings(max_examples=30)
@given(ROWS)
def test_outputs_are_multiplied_each_with_each(cells):
    assume(all(any(row[at] == row[at] and row[at] is not None for row in cells) for at in (0, 1)))
    rows = table(cells)
    parts = [numeric("a"), numeric("b", scale="none"), categorical("c")]
    products = [
        interaction("a", "b"),
        interaction("b", "c"),
        interaction("a", "b", "c", name="abc"),
    ]

    fitted = plan(rows, of=spec(*parts, *products))

    found = both(fitted, rows)
    named = dict(zip(fitted.names, found.T, strict=True))
    np.testing.assert_array_equal(named["a*b"], named["a"] * named["b"])
    names = [name for name in fitted.names if name.startswith("c=")]
    for name in names:
        np.testing.assert_array_equal(named[f"b*{name}"], named["b"] * named[name])
        product = named["a"] * named["b"] * named[name]
        whole = "abc" if len(names) == 1 else f"abc:a*b*{name}"
        np.testing.assert_array_equal(named[whole], product)
    indicators = sum(name.endswith("__missing") for name in fitted.names)
    assert fitted.width == 2 + indicators + len(names) + 1 + 2 * len(names)


def test_a_cross_of_names_has_a_column_for_each_pair():
    rows = batch(c=["a", "b", "a"], d=["x", "x", "z"])

    fitted = plan(rows, of=spec(categorical("c"), categorical("d"), interaction("c", "d")))

    assert fitted.names[-4:] == ("c=a*d=x", "c=a*d=z", "c=b*d=x", "c=b*d=z")
    assert both(fitted, rows)[:, -4:].tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]]
    assert fitted.input_columns == ("c", "d")


def test_a_named_product_of_numbers_has_its_name():
    rows = batch(a=[1.0, 2.0], b=[3.0, -5.0])
    groups = [numeric("a", "b", scale="none"), interaction("a", "b", name="area")]

    fitted = plan(rows, of=spec(*groups))

    assert fitted.names == ("a", "b", "area")
    assert both(fitted, rows).tolist() == [[1, 3, 3], [2, -5, -10]]


def test_a_product_that_is_no_float32_is_refused_by_row():
    groups = [numeric("a", "b", scale="none"), interaction("a", "b")]
    fitted = plan(batch(a=[1.0, 2.0], b=[3.0, 4.0]), of=spec(*groups))

    with pytest.raises(DataError) as caught:
        fitted.encode(batch(a=[0.0, 1e30], b=[1.0, 1e30]))

    assert str(caught.value) == (
        "table 'rows', interaction 'a*b': the product in row 1 is inf, expected a finite number within the "
        "range of float32\n  scale its parts, or mend the value in merge.derive"
    )


def test_a_product_that_is_too_wide_is_refused():
    names = [f"{at:03}" for at in range(40)]
    groups = [categorical("c", "d"), interaction("c", "d")]

    with pytest.raises(InputError) as caught:
        plan(batch(c=names, d=names), of=spec(*groups, dataset={"max_width": 1000}))

    assert str(caught.value) == (
        "features: width would be 1,680, dataset.max_width is 1,000\n"
        "  interaction 'c*d' alone makes 1,600 columns\n"
        "  set min_frequency or max_categories on its parts, leave it out, or raise dataset.max_width"
    )


def test_parts_must_be_numbers_or_names_of_other_groups():
    rule = InteractionFeatures.model_validate(interaction("a", "t", "gone"))

    found = [str(each) for each in rule_problems(rule, {"a": "numeric", "t": "text"})]

    assert found == [
        "features: interaction 'a*t*gone' takes 't', which is text, expected numeric, boolean or "
        "categorical columns\n  leave it out, or derive a number from it in merge.derive",
        "features: interaction 'a*t*gone' takes 'gone', expected a column of another group\n"
        "  list the column in a group of its kind as well",
    ]


def test_a_part_encoded_by_folds_is_refused():
    groups = [numeric("a"), categorical("c", encode="target"), interaction("a", "c")]
    rows = batch(
        id=["1", "2", "3", "4"], a=[1.0, 2.0, 3.0, 4.0], c=["p", "q", "p", "q"], y=[0, 1, 1, 0]
    )

    with pytest.raises(InputError) as caught:
        plan(rows, of=spec(*groups))

    assert str(caught.value) == (
        "features: interaction 'a*c' takes 'c', which is target-encoded by folds, expected another "
        "encoding\n  set another encode for it, or leave it out"
    )
