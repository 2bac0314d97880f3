"""Codes that stand for a missing cell, in arrays of any type."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import NAMES

from penstock.cells import coded, first_numbers, texts, without_codes
from penstock.errors import InputError
from penstock.statistics import Collector
from penstock.wanted import Wanted


@given(st.lists(NAMES, max_size=20), st.lists(st.sampled_from(["a", "", "c"]), unique=True))
def test_names_that_are_codes_become_null_in_any_encoding(cells, codes):
    array = pa.array(cells, pa.string())

    for each in (array, array.dictionary_encode(), array.cast(pa.large_string()), array[1:]):
        known = each.to_pylist()
        expected = [None if cell in codes else cell for cell in known]
        assert texts(without_codes(each, codes)).to_pylist() == expected


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1, -999, None]), ["1", None, None]),
        (pa.array([1.5, -999.0, 2.0]), ["1.5", None, "2"]),
        (pa.array(["-999", "x"]), [None, "x"]),
        (pa.array([True, False]), [None, "false"]),
    ],
)
def test_a_code_is_found_by_its_text(array, expected):
    assert texts(without_codes(array, [-999, True])).to_pylist() == expected


def test_without_codes_the_array_is_the_same():
    array = pa.array(["a"])

    assert without_codes(array, ()) is array


def test_numbers_come_from_the_first_array_that_has_one():
    arrays = [pa.array([1.0, None, -1.0, float("nan")]), pa.array([7, 8, -1, None])]

    values, missing = first_numbers(arrays, [-1])

    np.testing.assert_array_equal(values, [1, 8, np.nan, np.nan])
    assert missing == 2
    assert first_numbers(arrays[:1], [-1])[1] == 2
    assert coded(np.array([0.0, -1.0]), [-1]).tolist() == [False, True]


def test_two_states_of_one_name_are_refused():
    wanted = [
        Wanted(name=name, type="double", kind="numeric") for name in ("x", "x (by g)", "x (by g)")
    ]

    with pytest.raises(InputError) as caught:
        Collector(wanted)

    assert str(caught.value) == (
        "statistics: 'x (by g)' would name two states, expected one each\n"
        "  rename the column of that name in merge.derive"
    )
