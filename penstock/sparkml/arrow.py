"""Between DataFrames and Arrow: types, the columns a plan reads, matrices as ml Vectors or arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.errors import InputError, listed
from penstock.sketch import Ints
from penstock.sparkml.words import TABLE
from penstock.vectors import VECTOR_FIELDS

if TYPE_CHECKING:
    from pyspark.sql.types import DataType, StructType

__all__ = ["arrays_of", "arrow_type", "check_once", "floats", "in_utc", "numbered", "vectors_of"]

DENSE, SPARSE = 1, 0


def arrow_type(kind: DataType) -> Any:
    """Return the Arrow type in which Spark hands a column to Python; None if it has none."""
    from pyspark.errors import PySparkTypeError
    from pyspark.sql.pandas.types import to_arrow_type
    from pyspark.sql.types import UserDefinedType

    try:
        return to_arrow_type(kind.sqlType() if isinstance(kind, UserDefinedType) else kind)
    except PySparkTypeError:
        return None


def check_once(schema: StructType, columns: Sequence[str]) -> None:
    """Raise if the name of one of ``columns`` stands for several columns of a DataFrame.

    Raises:
        InputError: It does.
    """
    names = schema.names
    if twice := [name for name in dict.fromkeys(columns) if names.count(name) > 1]:
        raise InputError(
            f"table {TABLE!r} has more than one column called {listed(twice)}, expected one each\n"
            "  drop or rename the others, as after a join"
        )


def numbered(count: int) -> list[str]:
    """Return plain names for columns: those of a DataFrame may have dots, backticks and twins."""
    return [f"c{at}" for at in range(count)]


def in_utc(array: Any) -> Any:
    """Return a timestamp array under the zone UTC, whatever the session's is; others as they are.

    The cells are the same instants: only the type names another zone.
    """
    kind = array.type
    if pa.types.is_timestamp(kind) and kind.tz not in (None, "UTC"):
        return array.cast(pa.timestamp(kind.unit, "UTC"))
    return array


def vectors_of(matrix: Any) -> Any:
    """Return the rows of a matrix as an Arrow struct array (n,) of Spark ml Vectors.

    Args:
        matrix: Float32 (n, d): an array gives dense vectors, a scipy CSR array sparse ones.
    """
    rows, width = matrix.shape
    if isinstance(matrix, np.ndarray):
        kind, size = DENSE, pa.nulls(rows, pa.int32())
        indices = pa.nulls(rows, pa.list_(pa.int32()))
        values = _lists(_even(rows, width), matrix.ravel(), np.float64, pa.float64())
    else:
        kind, size = SPARSE, _plain(np.full(rows, width, np.int32), pa.int32())
        indices = _lists(matrix.indptr, matrix.indices, np.int32, pa.int32())
        values = _lists(matrix.indptr, matrix.data, np.float64, pa.float64())
    kinds = _plain(np.full(rows, kind, np.int8), pa.int8())
    return pa.StructArray.from_arrays([kinds, size, indices, values], list(VECTOR_FIELDS))


def arrays_of(matrix: Any) -> Any:
    """Return the rows of a float32 matrix (n, d), dense or CSR, as an Arrow list array of floats."""
    whole = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    return _lists(_even(*whole.shape), whole.ravel(), np.float32, pa.float32())


def floats(values: npt.NDArray[np.float32]) -> Any:
    """Return numbers (n,) as an Arrow float64 array."""
    return _plain(values.astype(np.float64), pa.float64())


def _even(rows: int, width: int) -> Ints:
    return np.arange(rows + 1, dtype=np.int64) * width


def _lists(starts: Any, values: Any, dtype: Any, kind: Any) -> Any:
    """Return a list array whose row i is ``values[starts[i]:starts[i + 1]]``."""
    child = _plain(np.ascontiguousarray(values, dtype), kind)
    offsets = pa.py_buffer(np.ascontiguousarray(starts, np.int32))
    return pa.Array.from_buffers(pa.list_(kind), len(starts) - 1, [None, offsets], children=[child])


def _plain(values: npt.NDArray[Any], kind: Any) -> Any:
    # Not pa.array, which imports pandas.
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])
