"""From statistics to a plan, and from a plan to matrices."""

from __future__ import annotations

import dataclasses
import decimal
import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from strategies import NAMES, NUMBERS, batch, categorical, numeric, plan, spec, statistics

from penstock.encode import Where
from penstock.errors import DataError, InputError, MissingColumnsError, SchemaMismatchError
from penstock.plan import FeaturePlan
from penstock.planning import build_plan
from penstock.statistics import merge

ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, NAMES, NAMES), min_size=2, max_size=30)
ARRAYS = {"a": pa.float64(), "b": pa.float64(), "c": pa.string(), "d": pa.string()}


def table(rows):
    columns = zip(*rows, strict=True) if rows else [()] * 4
    arrays = {n: pa.array(c, k) for (n, k), c in zip(ARRAYS.items(), columns, strict=True)}
    return batch(**arrays, y=pa.array([0, 1] * len(rows))[: len(rows)])


def bits(matrix):
    dense = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    assert dense.dtype == np.float32
    return dense.view(np.uint32)


def small(**options):
    """A plan of one numeric and one categorical column."""
    group = {"min_frequency": 2, **options}
    of = spec(numeric("n"), categorical("c", **group))
    rows = batch(n=[1.0, None, 3.0, 5.0, 1.0], c=["a", "b", "a", None, "c"])
    return plan(rows, of=of)


@given(ROWS, ROWS, st.integers(0, 9))
@settings(deadline=None)
def test_dense_and_sparse_are_equal_to_the_bit_and_so_is_the_plan_read_back(train, test, empty):
    of = spec(
        numeric("a", impute="constant", fill_value=0.5),
        numeric("b", impute="constant", fill_value=0, scale="none"),
        categorical("c", min_frequency=2, indicator=True),
        categorical("d", max_categories=2, rare="zeros"),
    )
    fitted = plan(table(train), table(train), of=of)
    rows = table(test if empty else [])

    dense = dataclasses.replace(fitted, layout="dense").encode(rows)
    sparse = dataclasses.replace(fitted, layout="sparse").encode(rows)
    restored = FeaturePlan.from_json(fitted.to_json())

    assert dense.shape == sparse.shape == (rows.num_rows, fitted.width)
    assert dense.flags.c_contiguous
    np.testing.assert_array_equal(bits(dense), bits(sparse))
    np.testing.assert_array_equal(bits(restored.encode(rows)), bits(dense))
    assert (sparse.data != 0).all()
    assert sparse.indices.dtype == sparse.indptr.dtype == np.int32
    assert sparse.has_sorted_indices
    assert all(
        (np.diff(sparse.indices[a:b]) > 0).all()
        for a, b in zip(sparse.indptr, sparse.indptr[1:], strict=False)
    )
    assert (restored, restored.to_json()) == (fitted, fitted.to_json())


@given(ROWS, ROWS)
@settings(deadline=None, max_examples=40)
def test_a_plan_encodes_as_a_pipeline_of_scikit_learn_does(train, test):
    frame, other = (
        pd.DataFrame(rows, columns=list("abcd")).astype({"a": float, "b": float})
        for rows in (train, test)
    )
    assume(not frame[["a", "b"]].isna().all().any())
    of = spec(
        numeric("a", impute="median", indicator=False),
        numeric("b", impute="mean", indicator=False, scale="none"),
        categorical("c", "d", unknown="zeros", rare="zeros"),
    )
    fitted = dataclasses.replace(plan(table(train), of=of), layout="dense")

    ours = fitted.encode(table(test))

    names = make_pipeline(
        SimpleImputer(
            strategy="constant",
            fill_value="(missing)",
            missing_values=None,
            keep_empty_features=True,
        ),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    theirs = ColumnTransformer(
        [
            ("a", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["a"]),
            ("b", SimpleImputer(strategy="mean"), ["b"]),
            ("n", names, ["c", "d"]),
        ]
    ).fit(
        frame.astype({"c": object, "d": object})
        .replace({np.nan: None})
        .astype({"a": float, "b": float})
    )
    expected = theirs.transform(
        other.astype({"c": object, "d": object})
        .replace({np.nan: None})
        .astype({"a": float, "b": float})
    )
    vocabularies = theirs.named_transformers_["n"][-1].categories_
    columns = ["a", "b"] + [
        f"{n}={v}" for n, vs in zip("cd", vocabularies, strict=True) for v in vs
    ]
    filled = frame["a"].fillna(frame["a"].median())
    assume(filled.nunique() == 1 or filled.std() > 1e-6 * filled.abs().max())
    assert sorted(fitted.names) == sorted(columns)
    order = [columns.index(name) for name in fitted.names]
    np.testing.assert_allclose(ours, expected[:, order], rtol=1e-5, atol=1e-5)


def test_plan_json_is_readable_by_a_person():
    assert json.loads(small().to_json())["columns"][1]["one_hot"]["categories"] == [["a", 2]]
    assert small().to_json() == (
        "{\n"
        f'  "sha256": "{small().sha256}",\n'
        '  "schema_version": 1,\n'
        '  "task": "binary",\n'
        '  "label": {"column": "y", "type": "int64", "classes": [0, 1], "expected": "one of 0, 1"},\n'
        '  "width": 4,\n'
        '  "layout": "dense",\n'
        '  "row_bytes": {"dense": 60, "sparse": 61.5},\n'
        '  "fitted_on": {"curated": "d", "rows": 1},\n'
        '  "columns": [\n'
        "    {\n"
        '      "name": "n",\n'
        '      "kind": "numeric",\n'
        '      "type": "double",\n'
        '      "outputs": {"first": 0, "count": 2},\n'
        '      "missing": {"rule": "median", "value": 2.0, "learned": "median of 4 values", '
        '"missing_rows": 1, "missing_share": 0.2, "indicator": true},\n'
        '      "scale": {"rule": "standard", "mean": 2.4, "scale": 1.4966629547095764, '
        '"note": "of the imputed train split"}\n'
        "    },\n"
        "    {\n"
        '      "name": "c",\n'
        '      "kind": "categorical",\n'
        '      "type": "string",\n'
        '      "outputs": {"first": 2, "count": 2},\n'
        '      "missing": {"rule": "constant", "value": "(missing)", "learned": "given in the spec", '
        '"missing_rows": 1, "missing_share": 0.2, "indicator": false},\n'
        '      "one_hot": {\n'
        '        "unknown": "rare",\n'
        '        "rare": {"values": 3, "rows": 3, "group": true, "names": []},\n'
        '        "undercount": 0,\n'
        '        "categories": [["a", 2]]\n'
        "      }\n"
        "    }\n"
        "  ]\n"
        "}\n"
    )


def test_outputs_have_names_and_sources():
    made = small()

    assert made.names == ("n", "n__missing", "c=a", "c=(rare)")
    assert made.sources() == ("n", "n", "c", "c")
    assert (made.width, made.input_columns, made.classes, made.task) == (
        4,
        ("n", "c"),
        (0, 1),
        "binary",
    )


def test_a_plan_changed_by_hand_or_of_another_version_is_refused():
    text = small().to_json()

    with pytest.raises(InputError) as changed:
        FeaturePlan.from_json(text.replace('"value": 2.0', '"value": 3.0'))
    with pytest.raises(InputError) as version:
        FeaturePlan.from_json(text.replace('"schema_version": 1', '"schema_version": 9'))

    assert str(changed.value).endswith(
        f"..., expected sha256 {small().sha256[:12]}...\n"
        "  it was changed after the fit; change pipeline.yaml and fit again"
    )
    assert str(version.value) == (
        "plan: schema_version is 9, expected 1\n  fit again: penstock fit SPEC"
    )


@pytest.mark.parametrize(
    "n",
    [
        pa.array([1, None], pa.int8()),
        pa.array([1.0, math.nan], pa.float32()),
        pa.array([decimal.Decimal("1.00"), None]),
        pa.array([1, None]).dictionary_encode(),
        pa.array([True, None]),
    ],
    ids=["int", "float", "decimal", "dictionary", "bool"],
)
@pytest.mark.parametrize(
    "c",
    [
        pa.array(["a", "new"]),
        pa.array(["a", "new"], pa.large_string()),
        pa.array(["a", "new"]).dictionary_encode(),
    ],
    ids=["string", "large", "dictionary"],
)
def test_every_compatible_type_encodes_alike(n, c):
    rows = batch(c=c, more=pa.nulls(2), n=n)

    np.testing.assert_array_equal(
        bits(small().encode(rows)), bits(small().encode(batch(n=[1.0, None], c=["a", "new"])))
    )


def test_a_column_of_the_null_type_is_all_missing():
    found = small().encode(pa.RecordBatch.from_pydict({"n": pa.nulls(1), "c": pa.nulls(1)}))

    expected = small().encode(
        batch(n=pa.array([None], pa.float64()), c=pa.array([None], pa.string()))
    )
    np.testing.assert_array_equal(bits(found), bits(expected))


def test_whole_numbers_as_names_are_one_category_in_every_type():
    made = plan(batch(c=[7, 7, 8, None]), of=spec(categorical("c")))

    found = [made.encode(batch(c=c)) for c in (pa.array([8, 7]), pa.array([8.0, 7.0]))]

    assert made.names == ("c=7", "c=(missing)", "c=8")
    assert [bits(matrix).tolist() for matrix in found] == [
        [[0, 0, 0x3F800000], [0x3F800000, 0, 0]]
    ] * 2


WHERE = Where(table="t", first_row=1000)


@pytest.mark.parametrize(
    ("rows", "kind", "message"),
    [
        (
            pa.RecordBatch.from_pydict({"m": [1.0], "y": [0]}),
            MissingColumnsError,
            "table 't' lacks 2 columns: 'n', 'c'\n  it has: 'm', 'y'",
        ),
        (
            pa.RecordBatch.from_pydict({"n": ["1"], "c": ["a"]}),
            SchemaMismatchError,
            "table 't', column 'n': type is string, expected a number (fitted on double)\n"
            "  cast it before encoding, or fit again on rows like these",
        ),
        (
            pa.RecordBatch.from_pydict({"n": [1.0], "c": [3]}),
            SchemaMismatchError,
            "table 't', column 'c': type is int64, expected a string (fitted on string)\n"
            "  cast it before encoding, or fit again on rows like these",
        ),
        (
            pa.RecordBatch.from_pydict({"n": [1.0, None, math.inf], "c": ["a"] * 3}),
            DataError,
            "table 't', column 'n': row 1,002 is inf when scaled, expected a finite number within the range "
            "of float32\n  mend it in merge.derive, or filter it in merge.where",
        ),
    ],
    ids=["missing", "text", "number", "infinite"],
)
def test_rows_that_do_not_fit_the_plan_are_errors_with_their_place(rows, kind, message):
    with pytest.raises(kind) as caught:
        small().encode(rows, where=WHERE)

    assert str(caught.value) == message


@pytest.mark.parametrize("value", ["new", None])
def test_an_unknown_value_is_refused_with_its_row_if_the_rule_says_so(value):
    made = plan(
        batch(c=["a", "a", "b"]), of=spec(categorical("c", min_frequency=2, unknown="refuse"))
    )

    assert bits(made.encode(batch(c=["b", "a"]))).tolist() == [[0, 0x3F800000], [0x3F800000, 0]]
    with pytest.raises(DataError) as caught:
        made.encode(batch(c=["a", value, value]), where=WHERE)

    assert str(caught.value) == (
        f"table 't', column 'c': row 1,001 is {value!r}, expected a value of the train split, as unknown "
        "is 'refuse': 'a' and 1 more\n"
        "  mend the value, or set unknown: rare or zeros on the column and fit again"
    )


@pytest.mark.parametrize(
    ("group", "name", "values"),
    [
        (numeric("n", impute="refuse"), "n", [1.0, None, None]),
        (categorical("n", impute="refuse"), "n", ["a", None, None]),
    ],
)
def test_a_missing_cell_is_refused_with_its_row_if_the_rule_says_so(group, name, values):
    made = plan(batch(n=[values[0], values[0]]), of=spec(group))

    with pytest.raises(DataError) as caught:
        made.encode(batch(n=values), where=WHERE)

    assert str(caught.value) == (
        f"table 't', column {name!r}: 2 of 3 rows are missing, the first is row 1,001, expected none, as "
        "impute is 'refuse'\n  mend the rows, or choose another impute rule for the column and fit again"
    )


def test_labels_come_from_their_column_and_a_table_without_it_is_an_error():
    assert small().labels(batch(n=[1.0, 2.0, 3.0])).tolist() == [0, 1, 0]
    with pytest.raises(MissingColumnsError) as caught:
        small().labels(pa.RecordBatch.from_pydict({"n": [1.0]}), where=WHERE)

    assert str(caught.value) == "table 't' lacks 1 column: 'y'\n  it has: 'n'"


def test_the_layout_is_the_smaller_one_unless_the_spec_says_which():
    rows = batch(n=np.arange(40.0), c=[f"v{i % 20}" for i in range(40)])

    def layout(*groups, asked="auto"):
        return plan(rows, of=spec(*groups, dataset={"layout": asked})).layout

    assert layout(numeric("n")) == "dense"
    assert layout(categorical("c")) == "sparse"
    assert layout(numeric("n"), asked="sparse") == "sparse"
    assert layout(categorical("c"), asked="dense") == "dense"


def test_the_predicted_bytes_of_a_row_are_those_that_are_written():
    recordio = pytest.importorskip("penstock.recordio")
    random = np.random.default_rng(1)
    columns = {f"n{i}": random.integers(0, 3, 500).astype(float) for i in range(4)}
    rows = batch(**columns, c=[f"v{i}" for i in random.integers(0, 300, 500)])
    made = plan(rows, of=spec(numeric(*columns, scale="none"), categorical("c")))
    labels = made.labels(rows)

    dense = len(
        recordio.encode_dense(dataclasses.replace(made, layout="dense").encode(rows), labels)
    )
    sparse = len(
        recordio.encode_sparse(dataclasses.replace(made, layout="sparse").encode(rows), labels)
    )

    assert dense == 500 * made.dense_row_bytes
    assert sparse == pytest.approx(500 * made.sparse_row_bytes, rel=0.03)


def test_merged_statistics_make_the_plan_of_all_rows():
    of = spec(numeric("n"), categorical("c", min_frequency=2))
    days = [
        batch(n=[1.0, None, 3.0], c=["a", "b", None]),
        batch(n=[4.0, 4.0], c=["b", "ä"]),
        batch(n=[9.0, math.nan, 2.0], c=["a", "a", "z"]),
    ]
    whole = statistics(*days, of=of)

    one, two, three = (statistics(day, of=of) for day in days)

    for parts in ([one, two, three], [three, one, two], [merge([two, three]), one]):
        merged = build_plan(merge(parts).trimmed(), of, fitted_on={})
        assert merged.to_json() == build_plan(whole, of, fitted_on={}).to_json()


def test_too_wide_a_matrix_is_refused_and_the_column_that_makes_it_so_is_named():
    rows = batch(
        n=np.arange(100_000.0), c=["a", "b"] * 50_000, city=[f"c{i}" for i in range(100_000)]
    )
    of = spec(numeric("n"), categorical("c", "city"))
    with pytest.raises(InputError) as caught:
        plan(rows, of=of)

    assert str(caught.value) == (
        "features: width would be 100,003, dataset.max_width is 10,000\n"
        "  column 'city' alone makes 100,000 columns (one_hot of 100,000 values)\n"
        "  set min_frequency or max_categories on it, or encode: target, frequency, ordinal or hash; leave "
        "it out, or raise dataset.max_width"
    )
    for options in ({"min_frequency": 2}, {"max_categories": 9}):
        assert (
            plan(rows, of=spec(categorical("city", **options))).width
            == options.get("max_categories", 0) + 1
        )


def test_a_column_with_more_values_than_are_counted_is_refused_by_an_estimate():
    ids = [
        pa.array([f"{i}" for i in range(start, start + 50_000)])
        for start in range(0, 200_000, 50_000)
    ]
    of = spec(categorical("city"))
    with pytest.raises(InputError) as caught:
        plan(*[batch(city=part) for part in ids], of=of)

    assert str(caught.value) == (
        "features: width would be about 193,102, dataset.max_width is 10,000\n"
        "  column 'city' alone makes about 193,102 columns (one_hot of about 193,102 values)\n"
        "  set min_frequency or max_categories on it, or encode: target, frequency, ordinal or hash; leave "
        "it out, or raise dataset.max_width"
    )


def test_many_narrow_columns_are_too_wide_together():
    with pytest.raises(InputError) as caught:
        plan(batch(a=[1.0], b=[1.0], y=[1]), of=spec(numeric("a", "b"), dataset={"max_width": 1}))

    assert str(caught.value) == (
        "2 problems\n"
        "label column 'y': all 1 labels of the train split are 1, expected at least two values\n"
        "  there is nothing to learn: check merge.derive and merge.where\n"
        "features: width would be 2, dataset.max_width is 1\n"
        "  leave columns out, or raise dataset.max_width"
    )


def test_two_outputs_of_one_name_are_refused():
    rows = batch(**{"a=b": [1.0, 2.0], "a": ["b", "c"]})

    with pytest.raises(InputError) as caught:
        plan(rows, of=spec(numeric("a=b"), categorical("a")))

    assert str(caught.value) == (
        "features: output columns would share a name: 'a=b'\n"
        "  rename a source column, or change the value in merge.derive"
    )


@pytest.mark.parametrize(
    ("labels", "options", "problem"),
    [
        (
            [0, None, 1],
            {},
            "1 of 3 rows of the train split are null, expected a label in each\n"
            "  add `where: y IS NOT NULL` to merge, or derive it",
        ),
        (
            [1, 1, 1],
            {},
            "all 3 labels of the train split are 1, expected at least two values\n"
            "  there is nothing to learn: check merge.derive and merge.where",
        ),
        (
            [0, 1, 2],
            {},
            "1 of 3 rows of the train split hold 2 (1x), expected one of 0, 1\n"
            "  list the values in label.classes, mend them in merge.derive, or filter them in merge.where",
        ),
        (
            ["no", "yes", "maybe"],
            {"label": {"column": "y", "classes": ["no", "yes"]}},
            "1 of 3 rows of the train split hold 'maybe' (1x), expected one of 'no', 'yes'\n"
            "  list the values in label.classes, mend them in merge.derive, or filter them in merge.where",
        ),
        (
            [0, 2, 2],
            {"task": "multiclass"},
            "2 of 3 rows of the train split hold 2 (2x), expected the whole numbers from 0 to the number "
            "of classes less one, each at least once\n"
            "  list the values in label.classes, mend them in merge.derive, or filter them in merge.where",
        ),
        (
            [0.5, math.inf, 1e300],
            {"task": "regression"},
            "2 of 3 rows of the train split hold 1e+300 (1x), inf (1x), expected a finite number "
            "within the range of float32\n"
            "  list the values in label.classes, mend them in merge.derive, or filter them in merge.where",
        ),
        (
            np.arange(5000),
            {},
            "the train split has about 4,953 distinct values, expected one of 0, 1\n"
            "  list the values in label.classes, mend them in merge.derive, or filter them in merge.where",
        ),
    ],
    ids=["null", "constant", "binary", "classes", "multiclass", "regression", "many"],
)
def test_labels_that_cannot_be_learned_from_are_refused(labels, options, problem):
    with pytest.raises(DataError) as caught:
        plan(batch(n=np.arange(float(len(labels))), y=labels), of=spec(numeric("n"), **options))

    assert str(caught.value) == f"label column 'y': {problem}"


@pytest.mark.parametrize(
    ("labels", "options", "classes"),
    [
        ([False, True], {}, (0, 1)),
        (["n", "y"], {"label": {"column": "y", "classes": ["n", "y"]}}, ("n", "y")),
        ([0, 2, 1], {"task": "multiclass"}, (0, 1, 2)),
        ([5, 7], {"task": "multiclass", "label": {"column": "y", "classes": [7, 6, 5]}}, (7, 6, 5)),
        ([0.5, 1.5], {"task": "regression"}, None),
    ],
)
def test_a_plan_knows_its_classes(labels, options, classes):
    made = plan(batch(n=np.arange(float(len(labels))), y=labels), of=spec(numeric("n"), **options))

    assert made.classes == classes
    assert FeaturePlan.from_json(made.to_json()).classes == classes


def test_all_problems_of_all_columns_are_told_at_once():
    rows = batch(a=pa.array([None, None], pa.float64()), b=[1.0, math.inf], c=["x", None])
    of = spec(numeric("a", "b"), categorical("c", impute="refuse"))

    with pytest.raises(DataError) as caught:
        plan(rows, of=of)

    assert str(caught.value) == (
        "3 problems\n"
        "column 'a': all 2 rows of the train split are missing, expected some values to learn impute: "
        "median from\n"
        "  leave it out of features, or set impute: constant and fill_value\n"
        "column 'b': 1 of 2 rows of the train split are infinite, expected finite numbers\n"
        "  mend them in merge.derive, or filter them in merge.where\n"
        "column 'c': 1 of 2 rows of the train split are missing, expected none, as impute is 'refuse'\n"
        "  choose another impute rule for it, or filter those rows in merge.where"
    )


def test_encoding_imports_neither_pandas_nor_spark(tmp_path):
    """They would cost each Spark worker and each serving container most of its start."""
    rows = batch(n=[1.0, None], c=["a", None], k=[1, 2])
    of = spec(numeric("n"), categorical("c", "k"), dataset={"layout": "sparse"})
    (tmp_path / "plan.json").write_text(plan(rows, of=of).to_json())
    with (
        pa.OSFile(str(tmp_path / "rows"), "wb") as sink,
        pa.ipc.new_file(sink, rows.schema) as writer,
    ):
        writer.write(rows)
    code = """
import sys, pyarrow as pa
from penstock.plan import FeaturePlan
from penstock.states import Wanted
from penstock.statistics import Collector
rows = pa.ipc.open_file("rows").get_batch(0)
plan = FeaturePlan.from_json(open("plan.json").read())
kinds = {"n": "numeric", "c": "categorical", "k": "categorical"}
types = {field.name: str(field.type) for field in rows.schema}
collector = Collector([Wanted(name=n, type=types[n], kind=k) for n, k in kinds.items()], label="y")
collector.add(rows, plan.labels(rows).astype("f8"))
collector.finish()
print(plan.encode(rows).shape, sorted({"pandas", "pyspark", "boto3"} & set(sys.modules)))
"""

    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert found.stdout == "(2, 6) []\n"
