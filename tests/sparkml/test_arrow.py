"""Matrices as the Arrow arrays that Spark reads; no JVM."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.sparse import csr_array

from penstock.encode import Where
from penstock.sparkml.arrow import arrays_of, floats, in_utc, vectors_of
from penstock.vectors import vector_cells

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
MATRICES = st.tuples(st.integers(1, 5), st.integers(1, 7)).flatmap(
    lambda shape: arrays.arrays(np.float32, shape, elements=st.one_of(st.just(0.0), FLOATS))
)


@given(MATRICES)
def test_a_dense_matrix_becomes_dense_vectors_of_the_same_numbers(matrix):
    array = vectors_of(matrix)

    cells = vector_cells(array, "features", Where(), None)
    array.validate(full=True)
    assert array.field("type").to_pylist() == [1] * len(matrix)
    assert cells.width == matrix.shape[1]
    assert cells.values.tobytes() == matrix.astype(np.float64).tobytes()


@given(MATRICES)
def test_a_sparse_matrix_becomes_sparse_vectors_of_what_it_stores(matrix):
    sparse = csr_array(matrix)
    array = vectors_of(sparse)

    cells = vector_cells(array, "features", Where(), None)
    array.validate(full=True)
    assert array.field("type").to_pylist() == [0] * len(matrix)
    assert array.field("size").to_pylist() == [matrix.shape[1]] * len(matrix)
    assert len(cells.values) == sparse.nnz
    assert (cells.csr(cells.values.astype(np.float32)) != sparse).nnz == 0


@given(MATRICES)
def test_both_layouts_become_the_same_arrays(matrix):
    dense, sparse = arrays_of(matrix), arrays_of(csr_array(matrix))

    dense.validate(full=True)
    assert dense.type == pa.list_(pa.float32())
    assert dense.to_pylist() == matrix.tolist() == sparse.to_pylist()


def test_a_matrix_without_rows_becomes_an_array_without_cells():
    matrix = np.empty((0, 3), np.float32)

    found = [vectors_of(matrix), vectors_of(csr_array(matrix)), arrays_of(matrix)]

    assert [len(array) for array in found] == [0, 0, 0]
    assert found[0].type == found[1].type


def test_a_wide_sparse_row_is_not_made_dense():
    matrix = csr_array(([1.0], [199_999], [0, 1]), shape=(1, 200_000), dtype=np.float32)

    array = vectors_of(matrix)

    assert array.to_pylist() == [
        {"type": 0, "size": 200_000, "indices": [199_999], "values": [1.0]}
    ]
    assert array.nbytes < 100


def test_labels_become_doubles():
    assert floats(np.array([0, 1.5], np.float32)).to_pylist() == [0.0, 1.5]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.timestamp("us", "Europe/Zurich"), pa.timestamp("us", "UTC")),
        (pa.timestamp("us"), pa.timestamp("us")),
        (pa.int64(), pa.int64()),
    ],
)
def test_timestamps_of_the_sessions_zone_are_the_same_instants_in_utc(kind, expected):
    array = pa.array([0, 1], pa.int64()).cast(kind)

    assert in_utc(array).type == expected
    assert in_utc(array).cast(pa.int64()).to_pylist() == [0, 1]
