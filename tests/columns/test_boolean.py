"""Yes and no, from booleans, 0 and 1, and declared values."""

from __future__ import annotations

import pyarrow as pa
import pytest
from strategies import batch, plan, spec

from penstock.columns.boolean import problems
from penstock.errors import DataError
from penstock.plan import FeaturePlan
from penstock.spec import BooleanFeatures

WORDS = {"true_values": ["yes", "Y"], "false_values": ["no"]}


def boolean(*names, **options):
    return {"kind": "boolean", "columns": list(names), **options}


def encoded(fitted, rows):
    again = FeaturePlan.from_json(fitted.to_json())
    assert again.to_json() == fitted.to_json()
    return again.encode(rows).tolist()


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([True, False, None, True]),
        pa.array([1, 0, None, 1], pa.int8()),
        pa.array([1.0, 0.0, float("nan"), 1.0]),
        pa.array(["yes", "no", "unknown", "Y"]),
        pa.array(["yes", "no", None, "Y"]).dictionary_encode(),
    ],
)
def test_two_values_become_one_output(cells):
    words = WORDS if pa.types.is_string(cells.type) or pa.types.is_dictionary(cells.type) else {}
    fitted = plan(batch(x=cells), of=spec(boolean("x", missing_values=["unknown"], **words)))

    assert fitted.names == ("x", "x__missing")
    assert encoded(fitted, batch(x=cells)) == [[1, 0], [0, 0], [1, 1], [1, 0]]
    assert fitted.columns[0].fill.learned == "most frequent: 2 of 3 values"


def test_a_missing_cell_may_be_a_constant_or_refused():
    rows = batch(x=[True, None, True])
    constant = boolean("x", impute="constant", fill_value=False, indicator=False)
    refusing = plan(batch(x=[True, False]), of=spec(boolean("x", impute="refuse")))

    assert encoded(plan(rows, of=spec(constant)), rows) == [[1], [0], [1]]
    with pytest.raises(DataError) as caught:
        refusing.encode(rows)
    assert str(caught.value) == (
        "table 'rows', column 'x': 1 of 3 rows are missing, the first is row 1, expected none, as impute "
        "is 'refuse'\n  mend the rows, or choose another impute rule for the column and fit again"
    )


def test_other_values_are_refused_with_their_counts_and_by_row():
    of = spec(boolean("x", **WORDS))
    with pytest.raises(DataError) as fit:
        plan(batch(x=["yes", "maybe", "maybe", "", "no"]), of=of)
    fitted = plan(batch(x=["yes", "no"]), of=of)
    with pytest.raises(DataError) as encode:
        fitted.encode(batch(x=["no", "perhaps"]))

    assert str(fit.value) == (
        "column 'x': 3 of 5 rows of the train split hold 'maybe' (2x), '' (1x), expected 'yes', 'Y' for "
        "true or 'no' for false\n"
        "  declare the values in true_values, false_values and missing_values, or list the column under "
        "another kind"
    )
    assert str(encode.value) == (
        "table 'rows', column 'x': row 1 is 'perhaps', expected 'yes', 'Y' for true or 'no' for false\n"
        "  mend the value, or declare it in true_values, false_values or missing_values and fit again"
    )


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            "string",
            {},
            "features: column 'x' is string, and kind: boolean has no true_values or no false_values, "
            "expected both\n"
            "  set them, as true_values: ['yes'] and false_values: ['no'], or use kind: categorical",
        ),
        (
            "int64",
            {"true_values": [2]},
            "features: column 'x' has only one of true_values and false_values, expected both or none\n"
            "  declare the values of both",
        ),
        (
            "int64",
            {"true_values": [1], "false_values": [0, 1.0]},
            "features: column 'x' has '1' in more than one of true_values, false_values and "
            "missing_values, expected it in one\n  take it out of the others",
        ),
        (
            "bool",
            {"impute": "constant"},
            "features: column 'x' has impute: constant and no fill_value, expected true or false\n"
            "  set fill_value, or another impute rule",
        ),
        (
            "timestamp[us]",
            {},
            "table 'curated', column 'x': type is timestamp[us], expected a boolean, number or string\n"
            "  list it under kind: datetime, or derive a boolean from it in merge.derive",
        ),
    ],
)
def test_rules_that_make_no_sense_are_refused(kind, options, message):
    rule = BooleanFeatures.model_validate(boolean("x", **options))

    assert [str(each) for each in problems("x", kind, rule)] == [message]
