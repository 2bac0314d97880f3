"""Against scikit-learn; labels; look-ups."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from strategies import categorical

from penstock.encode import LabelRule, Scaling, Where, check_type, lookup, standard_scaling
from penstock.errors import DataError, SchemaMismatchError
from penstock.sketch import moments_of
from penstock.spec import CategoricalFeatures
from penstock.states import CategoryState, Wanted
from penstock.statistics import Collector
from penstock.vocabulary import vocabulary_of

CELLS = st.lists(st.sampled_from(["a", "b", "c", "ä", "", "dd"]), min_size=1, max_size=40)


def vocabulary(cells, fill="(missing)", cap=1000, **options):
    collector = Collector([Wanted(name="x", type="string", kind="categorical", cap=cap)])
    collector.add(pa.RecordBatch.from_pydict({"x": pa.array(cells, pa.string())}))
    rule = CategoricalFeatures.model_validate(categorical("x", **options))
    state = collector.finish().columns["x"]
    assert isinstance(state, CategoryState)
    return vocabulary_of(state, rule, fill=fill)


def encoded(made, cells):
    places = made.places()[lookup(pa.array(cells, pa.string()), made.known())]
    matrix = np.zeros((len(cells), made.width))
    rows = np.flatnonzero(places >= 0)
    matrix[rows, places[rows]] = 1
    return matrix


@given(
    CELLS,
    CELLS,
    st.one_of(st.integers(1, 6), st.floats(0.01, 0.9)),
    st.one_of(st.none(), st.integers(1, 5)),
)
def test_one_hot_is_that_of_scikit_learn_in_another_order(train, test, least, most):
    made = vocabulary(train, min_frequency=least, max_categories=most)
    ours = encoded(made, test)

    # Its max_categories counts the column of the rare ones, and is ignored while all fit.
    theirs = OneHotEncoder(
        min_frequency=least,
        max_categories=None if most is None or len(set(train)) <= most else most + 1,
        handle_unknown="infrequent_if_exist",
        sparse_output=False,
    ).fit(np.array(train, object)[:, None])
    names = [f"x={value}" for value, _ in made.categories]
    names += ["x=(rare)"] if made.group else []
    frequent = {value for value, _ in made.categories}
    rare = theirs.infrequent_categories_[0]
    expected = theirs.transform(np.array(test, object)[:, None])
    kept = [c for c in theirs.categories_[0] if rare is None or c not in rare]
    if most is None:  # scikit-learn breaks ties of counts in another way
        assert frequent == set(kept)
        order = [kept.index(value) for value, _ in made.categories]
        order += [len(kept)] if made.group else []
        np.testing.assert_array_equal(ours, expected[:, order])
    assert len(names) == expected.shape[1]
    assert sorted(ours.sum(axis=1)) == sorted(expected.sum(axis=1)) or most is not None


def test_the_vocabulary_goes_by_count_then_by_name():
    made = vocabulary(["b", "ä", "a", "ä", "z", "a", None, None, None])

    assert made.categories == (("(missing)", 3), ("a", 2), ("ä", 2), ("b", 1), ("z", 1))
    assert (made.rare_values, made.rare_rows, made.group) == (0, 0, False)


def test_a_replacement_adds_to_the_category_it_names():
    assert vocabulary(["a", "b", None], fill="b").categories == (("b", 2), ("a", 1))


@pytest.mark.parametrize(
    ("rare", "unknown", "matrix"),
    [
        ("group", "rare", [[1, 0], [0, 1], [0, 1]]),
        ("group", "zeros", [[1, 0], [0, 1], [0, 0]]),
        ("zeros", "rare", [[1], [0], [0]]),
        ("zeros", "zeros", [[1], [0], [0]]),
    ],
)
def test_rare_and_unknown_values_go_where_the_rules_say(rare, unknown, matrix):
    made = vocabulary(["a", "a", "b", "c"], min_frequency=2, rare=rare, unknown=unknown)

    assert encoded(made, ["a", "b", "new"]).tolist() == matrix
    assert (made.rare_values, made.rare_rows) == (2, 2)


def test_unknown_values_are_zeros_when_no_value_of_the_train_split_was_rare():
    assert encoded(vocabulary(["a", "b"]), ["new"]).tolist() == [[0, 0]]


def many(count):
    return [f"id{i:06d}" for i in range(count)] + ["common"] * 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {},
            "column 'x': the train split has about 2,894 categories, and only the 100 most frequent are "
            "counted, each up to 1 rows too low\n"
            "  set min_frequency above 1, or max_categories, on it",
        ),
        (
            {"max_categories": 5, "unknown": "refuse"},
            "column 'x': the train split has about 2,894 categories, and only the 100 most frequent are "
            "counted, so unknown: refuse cannot tell unknown values from rare ones\n"
            "  set unknown: rare on it",
        ),
    ],
)
def test_a_rule_that_needs_every_value_is_refused_where_not_all_are_counted(options, message):
    with pytest.raises(DataError) as caught:
        vocabulary(many(3000), cap=100, **options)

    assert str(caught.value) == message


def test_frequent_values_are_found_where_not_all_are_counted():
    made = vocabulary(many(3000), cap=100, min_frequency=2)

    assert made.categories == (("common", 50),)
    assert (made.undercount, made.group, made.rare_rows) == (1, True, 3000)
    assert made.rare_values == pytest.approx(3000, rel=0.1)


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["b", None, "x", "a"]),
        pa.array(["b", None, "x", "a"], pa.large_string()),
        pa.array(["b", None, "x", "a"]).dictionary_encode(),
        pa.DictionaryArray.from_arrays(
            pa.array([1, 2, 3, 0], pa.uint8()), pa.array(["a", "b", None, "x"])
        ),
    ],
    ids=["string", "large", "dictionary", "null-in-dictionary"],
)
def test_look_up_gives_places_of_every_kind_of_text(array):
    assert lookup(array, pa.array(["a", "b"], pa.large_string())).tolist() == [1, -1, 2, 0]


def test_look_up_reads_numbers_booleans_and_dates_by_their_texts():
    known = pa.array(["7", "true", "2013-01-02"], pa.large_string())

    assert lookup(pa.array([7, 8, None], pa.int8()), known).tolist() == [0, 3, -1]
    assert lookup(pa.array([7.0, 7.5, math.nan]), known).tolist() == [0, 3, -1]
    assert lookup(pa.array([True, False]), known).tolist() == [1, 3]
    assert lookup(pa.array([dt.date(2013, 1, 2)]), known).tolist() == [2]
    assert lookup(pa.nulls(2), known).tolist() == [-1, -1]


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40))
def test_scaling_is_that_of_scikit_learn(cells):
    values = np.array(cells)
    constant = values[0] if (values == values[0]).all() else None

    scaling = standard_scaling(moments_of(values), constant=constant, column="x")

    expected = StandardScaler().fit(values[:, None])
    spread = values.std() > 1e-6 * np.abs(values).max()
    if spread or constant is not None:
        found = scaling.apply(values, Where(), "x")
        np.testing.assert_allclose(
            found, expected.transform(values[:, None])[:, 0], rtol=1e-6, atol=1e-6
        )
    assert scaling.scale == 1.0 or constant is None


def test_a_constant_column_keeps_its_scale_and_says_so():
    scaling = standard_scaling(moments_of(np.full(3, 0.1)), constant=0.1, column="x")

    assert scaling.scale == 1.0
    assert scaling.note == "constant in the train split: scale is 1, not the standard deviation 0"
    assert scaling.apply(np.full(3, 0.1), Where(), "x").tolist() == [0.0, 0.0, 0.0]


def test_numbers_without_a_finite_deviation_are_refused():
    with pytest.raises(DataError) as caught:
        standard_scaling(moments_of(np.array([1e200, -1e200])), constant=None, column="x")

    assert str(caught.value) == (
        "column 'x': the standard deviation is inf, expected a finite number\n"
        "  its values are too large to scale: derive a smaller measure of it, as a logarithm"
    )


def test_minus_zero_becomes_zero():
    found = Scaling(rule="none").apply(np.array([-0.0, -1e-300]), Where(), "x")

    assert np.signbit(found).tolist() == [False, False]


@pytest.mark.parametrize(
    ("scaling", "value", "found"),
    [
        (Scaling(rule="none"), -math.inf, "-inf"),
        (Scaling(rule="none"), 1e39, "1e+39"),
        (Scaling(rule="standard", scale=0.5), 1e39, "2e+39 when scaled"),
    ],
)
def test_a_number_that_is_no_float32_is_refused_with_its_row(scaling, value, found):
    with pytest.raises(DataError) as caught:
        scaling.apply(np.array([1.0, value, value]), Where(table="t", first_row=1000), "x")

    assert str(caught.value) == (
        f"table 't', column 'x': row 1,001 is {found}, expected a finite number within the range of "
        "float32\n  mend it in merge.derive, or filter it in merge.where"
    )


def rule(kind="int64", task="binary", classes=(0, 1)):
    return LabelRule(column="y", type=kind, task=task, classes=classes)


@pytest.mark.parametrize(
    ("made", "array", "labels"),
    [
        (rule(), pa.array([0, 1, 1]), [0, 1, 1]),
        (rule("bool"), pa.array([False, True]), [0, 1]),
        (rule("bool", classes=(True, False)), pa.array([False, True]), [1, 0]),
        (rule("double"), pa.array([0.0, 1.0]), [0, 1]),
        (rule("string", classes=("no", "yes")), pa.array(["yes", "no"]), [1, 0]),
        (rule("int64", "multiclass", (30, 10, 20)), pa.array([10, 20, 30]), [1, 2, 0]),
        (rule("string", "multiclass", (1, 2.0, "x")), pa.array(["2", "x", "1"]), [1, 2, 0]),
        (rule("int64", "multiclass", None), pa.array([0, 7]), [0, 7]),
        (rule("double", "regression", None), pa.array([-1.5, 2.25]), [-1.5, 2.25]),
    ],
)
def test_labels_are_class_numbers_or_values(made, array, labels):
    found = made.labels(array, Where())

    assert found.dtype == np.float32
    assert found.tolist() == labels


@pytest.mark.parametrize(
    ("made", "array", "problem"),
    [
        (
            rule(),
            [0, 2, 2],
            "2 of 3 rows hold no valid label, the first is row 6: 2, expected one of 0, 1",
        ),
        (
            rule("string", classes=("no", "yes")),
            ["no", "maybe"],
            "1 of 2 rows hold no valid label, the first is row 6: 'maybe', expected one of 'no', 'yes'",
        ),
        (
            rule("double", "multiclass", None),
            [0.0, 0.5],
            "1 of 2 rows hold no valid label, the first is row 6: 0.5, expected a whole number from 0",
        ),
        (
            rule("double", "regression", None),
            [0.0, math.inf, 1e39],
            "2 of 3 rows hold no valid label, the first is row 6: inf, expected a finite number within the "
            "range of float32",
        ),
    ],
)
def test_a_wrong_label_is_refused_with_its_row(made, array, problem):
    with pytest.raises(DataError) as caught:
        made.labels(pa.array(array), Where(table="t", first_row=5))

    assert str(caught.value) == (
        f"table 't', label column 'y': {problem}\n  mend it in merge.derive, or filter it in merge.where"
    )


@pytest.mark.parametrize(
    "array", [pa.array([1, None, None, 0]), pa.array([1.0, math.nan, None, 0.0])]
)
def test_a_missing_label_is_refused_with_its_row(array):
    with pytest.raises(DataError) as caught:
        rule().labels(array, Where(table="t"))

    assert str(caught.value) == (
        "table 't', label column 'y': 2 of 4 rows are null, the first is row 1, expected a label in each\n"
        "  add `where: y IS NOT NULL` to merge, or derive it"
    )


@pytest.mark.parametrize(
    ("array", "fitted", "numeric"),
    [
        (pa.array([1.5]), "int32", True),
        (pa.array([True]), "int32", True),
        (pa.array([1.5]), "int32", False),
        (pa.nulls(1), "string", False),
        (pa.array(["a"]).dictionary_encode(), "large_string", False),
    ],
)
def test_types_that_read_alike_are_accepted(array, fitted, numeric):
    check_type(Where(), "x", array, fitted, numeric=numeric)


@pytest.mark.parametrize(
    ("array", "fitted", "numeric", "found", "expected"),
    [
        (pa.array(["1"]), "int32", True, "string", "a number (fitted on int32)"),
        (pa.array([1]), "string", False, "int64", "a string (fitted on string)"),
        (pa.array([True]), "int32", False, "bool", "a number (fitted on int32)"),
        (
            pa.array([1], pa.timestamp("s")),
            "double",
            True,
            "timestamp[s]",
            "a number (fitted on double)",
        ),
    ],
)
def test_other_types_are_refused(array, fitted, numeric, found, expected):
    with pytest.raises(SchemaMismatchError) as caught:
        check_type(Where(table="t"), "x", array, fitted, numeric=numeric)

    assert str(caught.value) == (
        f"table 't', column 'x': type is {found}, expected {expected}\n"
        "  cast it before encoding, or fit again on rows like these"
    )
