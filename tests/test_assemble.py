"""Columns of Arrow batches as a float32 matrix: every type, slices, and every refusal by row and column."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.assemble import Assembler
from penstock.encode import Where
from penstock.errors import DataError, InputError, MissingColumnsError, SchemaMismatchError

VECTOR = pa.struct(
    [
        ("type", pa.int8()),
        ("size", pa.int32()),
        ("indices", pa.list_(pa.int32())),
        ("values", pa.list_(pa.float64())),
    ]
)


def dense_vector(*values):
    return {"type": 1, "size": None, "indices": None, "values": list(values)}


def sparse_vector(size, indices, values):
    return {"type": 0, "size": size, "indices": list(indices), "values": list(values)}


def batch(**columns):
    return pa.record_batch(columns)


def encode(rows, *, label=None, where=None, **options):
    return Assembler.of(rows.schema, **({"features": None} | options), label=label).encode(
        rows, where=where
    )


def densely(matrix):
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def refusal(rows, **options):
    with pytest.raises(DataError) as caught:
        encode(rows, where=Where(table="t", first_row=1000), **options)
    return str(caught.value)


NUMBERS = {
    "i8": (pa.int8(), [1, -2]),
    "u64": (pa.uint64(), [1, 2**64 - 1]),
    "i64": (pa.int64(), [2**24 + 1, -5]),
    "f16": (pa.float16(), [np.float16(1.5), np.float16(-2)]),
    "f32": (pa.float32(), [0.1, -0.0]),
    "f64": (pa.float64(), [0.1, 1e38]),
    "bool": (pa.bool_(), [True, False]),
    "decimal": (pa.decimal128(9, 2), [Decimal("1.25"), Decimal("-7")]),
    "dictionary": (pa.dictionary(pa.int8(), pa.int32()), [7, 7]),
}


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("label", [None, "i8", "decimal"])
def test_every_kind_of_number_is_one_column(layout, label):
    rows = batch(**{name: pa.array(values, kind) for name, (kind, values) in NUMBERS.items()})
    features = [name for name in NUMBERS if name != label]

    matrix, labels = encode(rows, label=label, layout=layout)

    expected = np.array([[np.float32(NUMBERS[n][1][i]) for n in features] for i in (0, 1)])
    np.testing.assert_array_equal(densely(matrix), expected)
    assert matrix.dtype == np.float32
    if label is None:
        assert labels is None
    else:
        assert labels.dtype == np.float32
        assert labels.tolist() == [float(value) for value in NUMBERS[label][1]]


def test_features_come_in_the_order_asked_and_others_are_not_looked_at():
    rows = batch(a=pa.array([1.0]), text=pa.array(["x"]), b=pa.array([2.0]), y=pa.array([3]))

    assembler = Assembler.of(rows.schema, features=["b", "a"], label="y")
    matrix, labels = assembler.encode(rows)

    assert matrix.tolist() == [[2.0, 1.0]]
    assert labels.tolist() == [3.0]
    assert (assembler.width, assembler.names, assembler.columns) == (
        2,
        ("b", "a"),
        ("b", "a", "y"),
    )


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32()),
        pa.list_(pa.float64()),
        pa.large_list(pa.int16()),
        pa.list_(pa.float32(), 3),
        pa.list_(pa.bool_()),
    ],
    ids=str,
)
def test_lists_and_numbers_stand_side_by_side(kind, layout):
    cells = [[1, 0, 1], [0, 0, 0], [1, 1, 0]]
    lists = pa.array(cells, pa.list_(pa.int16())).cast(kind)
    rows = batch(a=pa.array([5.0, 6.0, 7.0]), v=lists, b=pa.array([8, 9, 0]))

    assembler = Assembler.of(rows.schema, features=None, label=None, layout=layout)
    matrix, _ = assembler.encode(rows)

    assert densely(matrix).tolist() == [[5, 1, 0, 1, 8], [6, 0, 0, 0, 9], [7, 1, 1, 0, 0]]
    assert assembler.names == ("a", "v[0]", "v[1]", "v[2]", "b")


VECTORS = [
    dense_vector(1, 0, 2),
    sparse_vector(3, [1], [5]),
    sparse_vector(3, [], []),
    sparse_vector(3, [0, 2], [0, 4]),
    dense_vector(0, 0, 0),
]


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("around", [False, True])
def test_dense_and_sparse_vectors_mix(layout, around):
    columns = {"v": pa.array(VECTORS, VECTOR)}
    if around:
        columns = {"a": pa.array(range(5))} | columns | {"w": pa.array(VECTORS[::-1], VECTOR)}
        columns["b"] = pa.array(range(5, 10))

    matrix, _ = encode(batch(**columns), layout=layout)

    expected = np.array([[1, 0, 2], [0, 5, 0], [0, 0, 0], [0, 0, 4], [0, 0, 0]], np.float32)
    if around:
        expected = np.hstack(
            [np.arange(5)[:, None], expected, expected[::-1], np.arange(5, 10)[:, None]]
        )
    np.testing.assert_array_equal(densely(matrix), expected)


def test_of_a_sparse_layout_only_zeros_that_a_sparse_vector_stores_are_kept():
    matrix, _ = encode(batch(v=pa.array(VECTORS, VECTOR)), layout="sparse")

    assert matrix.indptr.tolist() == [0, 2, 3, 3, 5, 5]
    assert matrix.indices.tolist() == [0, 2, 1, 0, 2]
    assert matrix.data.tolist() == [1.0, 2.0, 5.0, 0.0, 4.0]
    assert matrix.has_canonical_format


def test_a_wide_sparse_vector_is_never_made_dense():
    cells = [sparse_vector(2**31 - 1, [5, 2**31 - 2], [1, 2])] * 3

    matrix, _ = encode(batch(v=pa.array(cells, VECTOR)), layout="sparse")

    assert matrix.shape == (3, 2**31 - 1)
    assert matrix.indices.tolist() == [5, 2**31 - 2] * 3


def test_one_float32_list_column_is_a_view_of_the_batch():
    rows = batch(v=pa.array([[1, 2], [3, 4]], pa.list_(pa.float32())))

    matrix, _ = encode(rows)

    assert matrix.tolist() == [[1, 2], [3, 4]]
    child = np.frombuffer(rows.column("v").values.buffers()[1], np.float32)
    assert np.shares_memory(matrix, child)


numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.data())
def test_any_slice_gives_the_rows_of_the_whole(data):
    count = data.draw(st.integers(1, 40))
    width = data.draw(st.integers(1, 4))
    cells = [data.draw(st.lists(numbers, min_size=width, max_size=width)) for _ in range(count)]
    sparse = [data.draw(st.booleans()) for _ in range(count)]
    vectors = [
        sparse_vector(width, [i for i, x in enumerate(row) if x], [x for x in row if x])
        if rare
        else dense_vector(*row)
        for row, rare in zip(cells, sparse, strict=True)
    ]
    whole = batch(
        a=pa.array([row[0] for row in cells], pa.float32()),
        flag=pa.array(sparse),
        l=pa.array(cells, pa.list_(pa.float32())),
        f=pa.array(cells, pa.list_(pa.float64(), width)),
        v=pa.array(vectors, VECTOR),
    )
    start = data.draw(st.integers(0, count - 1))
    part = whole.slice(start, data.draw(st.integers(1, count - start)))
    layout = data.draw(st.sampled_from(["dense", "sparse"]))

    matrix, labels = encode(part, label="a", layout=layout)

    rows = range(start, start + part.num_rows)
    expected = [[sparse[i], *cells[i], *cells[i], *cells[i]] for i in rows]
    np.testing.assert_array_equal(densely(matrix), np.array(expected, np.float32))
    assert labels.tolist() == [cells[i][0] for i in rows]


def test_many_rows_and_columns_arrive_in_their_places():
    random = np.random.default_rng(1)
    values = random.normal(size=(7001, 60)).astype(np.float32)
    columns = {f"c{j}": pa.array(values[:, j]) for j in range(60)}
    columns["c7"] = pa.array(values[:, 7].astype(np.float64))

    matrix, _ = encode(batch(**columns))

    np.testing.assert_array_equal(matrix, values)
    assert matrix.flags.c_contiguous


def test_a_width_is_known_from_the_schema_from_the_first_row_or_by_declaration():
    schema = pa.schema([("a", pa.int8()), ("v", pa.list_(pa.float32()))])
    unknown = Assembler.of(schema, features=None, label=None)
    declared = Assembler.of(schema, features=None, label=None, widths={"v": 2})

    with pytest.raises(InputError) as caught:
        _ = unknown.width
    unknown.encode(batch(a=pa.array([1], pa.int8()), v=pa.array([[1, 2]], pa.list_(pa.float32()))))

    assert str(caught.value) == (
        "column 'v': its width is not known before its first row\n"
        "  encode a batch first, or declare it in widths"
    )
    assert unknown.widths == declared.widths == {"a": 1, "v": 2}
    assert unknown.names == declared.names == ("a", "v[0]", "v[1]")


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_no_rows_give_an_empty_matrix(layout):
    rows = batch(a=pa.array([1.0]), y=pa.array([1.0])).slice(0, 0)

    matrix, labels = encode(rows, label="y", layout=layout)

    assert matrix.shape == (0, 1)
    assert labels.shape == (0,)


REMEDY_NULL = (
    "  filter such rows, or fill them first (pyspark.ml.feature.Imputer, DataFrame.fillna)"
)
REMEDY_FINITE = (
    "  fill or filter it first, or allow it with allow_nonfinite=True if the reader can take it"
)
REMEDY_WIDTH = "  all rows of a dataset have one width: pad or cut such rows, or filter them"
REMEDY_SPARSE = "  build such vectors with pyspark.ml.linalg.Vectors.sparse, which sorts and checks"
FLOATS = pa.list_(pa.float64())
REFUSED = {
    "null": (
        pa.array([1.0, None, None]),
        "2 of 3 rows are null, the first is row 1,001, expected a number in each\n" + REMEDY_NULL,
    ),
    "all null": (
        pa.nulls(3),
        "3 of 3 rows are null, the first is row 1,000, expected a number in each\n" + REMEDY_NULL,
    ),
    "nan": (
        pa.array([1.0, 2.0, float("nan")]),
        "row 1,002 is nan, expected a finite number\n" + REMEDY_FINITE,
    ),
    "overflow": (
        pa.array([1.0, -1e39, 1.0]),
        "row 1,001 is -1e+39, expected a number within the range of float32\n"
        "  scale the column down, or take its logarithm",
    ),
    "null list": (
        pa.array([[1.0], None, [1.0]], FLOATS),
        "1 of 3 rows is null, the first is row 1,001, expected a list of numbers in each\n"
        + REMEDY_NULL,
    ),
    "null element": (
        pa.array([[1.0, 2.0], [1.0, None], [1.0, 2.0]], FLOATS),
        "row 1,001, element 1 is null, expected a number\n"
        "  fill it before, for example with transform(x -> coalesce(x, 0))",
    ),
    "ragged": (
        pa.array([[1.0], [1.0], [1.0, 2.0]], FLOATS),
        "row 1,002 has 2 numbers, expected 1 as the rows before\n" + REMEDY_WIDTH,
    ),
    "empty": (
        pa.array([[], [], []], FLOATS),
        "row 1,000 has 0 numbers, expected at least 1\n" + REMEDY_WIDTH,
    ),
    "infinite element": (
        pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, float("-inf")]], FLOATS),
        "row 1,002, element 1 is -inf, expected a finite number\n" + REMEDY_FINITE,
    ),
    "null vector": (
        pa.array([dense_vector(1), None, dense_vector(1)], VECTOR),
        "1 of 3 rows is null, the first is row 1,001, expected a vector of numbers in each\n"
        + REMEDY_NULL,
    ),
    "other size": (
        pa.array([dense_vector(1, 2), sparse_vector(2, [], []), sparse_vector(3, [], [])], VECTOR),
        "row 1,002 has 3 numbers, expected 2 as the rows before\n" + REMEDY_WIDTH,
    ),
    "infinite entry": (
        pa.array([sparse_vector(9, [1], [1]), sparse_vector(9, [1, 7], [1, 1e300])] * 2, VECTOR),
        "row 1,001, element 7 is 1e+300, expected a number within the range of float32\n"
        "  scale the column down, or take its logarithm",
    ),
    "few indices": (
        pa.array([dense_vector(1, 2), sparse_vector(2, [0], [1, 2])], VECTOR),
        "row 1,001 has 1 indices for 2 values, expected as many\n" + REMEDY_SPARSE,
    ),
    "descending": (
        pa.array([sparse_vector(4, [3], [1]), sparse_vector(4, [1, 0], [1, 2])], VECTOR),
        "row 1,001 has the index 0 at place 1, expected ascending ones from 0 to 3\n"
        + REMEDY_SPARSE,
    ),
    "index out of range": (
        pa.array([dense_vector(1, 2), sparse_vector(2, [2], [1])], VECTOR),
        "row 1,001 has the index 2 at place 0, expected ascending ones from 0 to 1\n"
        + REMEDY_SPARSE,
    ),
}


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("case", REFUSED)
def test_what_a_matrix_cannot_hold_is_refused_by_row_and_column(case, layout):
    array, problem = REFUSED[case]

    found = refusal(batch(ok=pa.array([0] * len(array)), x=array), layout=layout)

    assert found == f"table 't', column 'x': {problem}"


def test_the_first_bad_row_is_named_not_the_first_bad_column():
    nan = float("nan")
    rows = batch(a=pa.array([0.0, 0.0, nan]), b=pa.array([0.0, nan, nan]))

    assert refusal(rows).startswith("table 't', column 'b': row 1,001 is nan")


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()], ids=str)
@pytest.mark.parametrize("others", [0, 1])
def test_a_bad_row_far_down_is_named(kind, others):
    values = np.zeros(200_000)
    values[[150_001, 150_002]] = np.inf
    columns = {f"c{i}": pa.array(np.zeros(200_000)) for i in range(others)}

    found = refusal(batch(x=pa.array(values, kind), **columns))

    assert (
        found
        == f"table 't', column 'x': row 151,001 is inf, expected a finite number\n{REMEDY_FINITE}"
    )


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ([1.0, None], "1 of 2 rows is null, the first is row 1,001, expected a label in each\n"),
        ([1.0, float("inf")], "row 1,001 is inf, expected a finite number\n"),
    ],
)
def test_a_bad_label_is_refused(labels, problem):
    found = refusal(batch(a=pa.array([0, 0]), y=pa.array(labels)), label="y")

    assert found.startswith(f"table 't', column 'y': {problem}")


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_nan_and_infinity_pass_when_allowed_but_a_number_too_large_does_not(layout):
    nan, inf = float("nan"), float("inf")
    vectors = pa.array([dense_vector(nan), sparse_vector(1, [0], [inf])], VECTOR)
    good = batch(a=pa.array([nan, -inf]), v=vectors)
    bad = batch(a=pa.array([nan, 1e39]), v=vectors)

    matrix, _ = encode(good, layout=layout, allow_nonfinite=True)
    found = refusal(bad, layout=layout, allow_nonfinite=True)

    np.testing.assert_array_equal(densely(matrix), np.array([[nan, nan], [-inf, inf]], np.float32))
    assert found.startswith("table 't', column 'a': row 1,001 is 1e+39, expected a number within")


TYPES = "a number, a boolean, a list of numbers or a Spark ml Vector"
CHOOSE = "name the columns to take in features, or encode it first (penstock fit learns how)"


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["x"]),
        pa.array([datetime.date(2024, 1, 1)]),
        pa.array([["x"]]),
        pa.array([{"size": 1}]),
    ],
    ids=lambda array: str(array.type),
)
def test_other_types_are_refused(array):
    with pytest.raises(SchemaMismatchError) as caught:
        encode(batch(x=array))

    assert str(caught.value) == (
        f"table 'rows', column 'x': type is {array.type}, expected {TYPES}\n  {CHOOSE}"
    )


def test_a_label_that_is_no_number_is_refused():
    rows = batch(a=pa.array([1]), y=pa.array([[1.0]]))

    with pytest.raises(SchemaMismatchError) as caught:
        encode(rows, label="y")

    assert str(caught.value) == (
        "table 'rows', column 'y': type is list<item: double>, expected a number or a boolean\n"
        "  a label is one number: take an element of it, or another column"
    )


def test_absent_columns_are_refused_at_once_and_in_a_later_batch():
    rows = batch(price=pa.array([1.0]), y=pa.array([1]))

    with pytest.raises(MissingColumnsError) as at_once:
        Assembler.of(rows.schema, features=["prize", "b"], label="yy", table="t")
    with pytest.raises(MissingColumnsError) as later:
        Assembler.of(rows.schema, features=None, label="y").encode(rows.select(["price"]))

    assert str(at_once.value) == (
        "table 't' lacks 3 columns: 'prize', 'b', 'yy'\n"
        "  it has: 'price', 'y'\n"
        "  did you mean 'price' for 'prize'?\n"
        "  did you mean 'y' for 'yy'?"
    )
    assert str(later.value) == "table 'rows' lacks 1 column: 'y'\n  it has: 'price'"


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        ([], "table 'rows': no feature columns, expected at least one"),
        (["a", "a"], "table 'rows': features name 'a' more than once, expected each once"),
        (
            ["a", "y"],
            "table 'rows': column 'y' is the label and a feature, expected one of them\n"
            "  a model that is given the label learns nothing else: leave it out of features",
        ),
    ],
)
def test_features_are_some_columns_each_once_and_not_the_label(features, problem):
    rows = batch(a=pa.array([1.0]), y=pa.array([1]))

    with pytest.raises(InputError) as caught:
        Assembler.of(rows.schema, features=features, label="y")

    assert str(caught.value) == problem


def test_a_width_holds_for_all_batches():
    rows = batch(v=pa.array([[1.0, 2.0]]))
    assembler = Assembler.of(rows.schema, features=None, label=None)
    assembler.encode(rows)

    with pytest.raises(DataError) as longer:
        assembler.encode(batch(v=pa.array([[1.0, 2.0, 3.0]])), where=Where(first_row=1))
    with pytest.raises(DataError) as other:
        assembler.encode(batch(v=pa.array([1.0])), where=Where(first_row=1))

    assert str(longer.value) == (
        "table 'rows', column 'v': row 1 has 3 numbers, expected 2 as the rows before\n"
        + REMEDY_WIDTH
    )
    assert str(other.value) == (
        "table 'rows', column 'v': type is double, expected 2 numbers in each cell as in the "
        "batches before\n  all rows of a dataset have one width"
    )
