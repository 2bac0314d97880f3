"""Arrow columns whose cells are many numbers: lists, fixed-size lists, Spark ml Vectors.

A Spark ml Vector reaches Arrow as the struct of its SQL type:

    type     int8            0 sparse, 1 dense
    size     int32           of a sparse vector; null for a dense one
    indices  list<int32>     of a sparse vector, ascending; null for a dense one
    values   list<double>    of the entries of a sparse vector, or of the whole of a dense one

Dense and sparse rows may stand in one column. Nothing loops over rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.cells import plain, present
from penstock.encode import Float32s, Where
from penstock.errors import DataError
from penstock.sketch import Ints

__all__ = [
    "VECTOR_FIELDS",
    "Cells",
    "csr_of",
    "list_cells",
    "plain_numbers",
    "refuse_nulls",
    "vector_cells",
]

VECTOR_FIELDS = ("type", "size", "indices", "values")
SPARSE = 0

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cells:
    """A column of cells of many numbers, all of one width, without nulls.

    Attributes:
        width: Numbers of a cell, zeros that are not stored included.
        values: (entries,), as stored: float32, float64, ...
        starts: int64 (rows + 1,), where each row's values begin.
        keys: int64 (entries,), ascending within a row; None when every row stores all numbers.
        whole: bool (rows,), which rows store all numbers; None without ``keys``.
    """

    width: int
    values: Numbers
    starts: Ints
    keys: Ints | None
    whole: npt.NDArray[np.bool_] | None

    def entry(self, at: int) -> tuple[int, int]:
        """Return the row and the position in it of the stored value ``at``."""
        row = int(np.searchsorted(self.starts, at, side="right")) - 1
        return row, int(at - self.starts[row] if self.keys is None else self.keys[at])

    def put(self, block: Float32s, values: Float32s, start: int) -> None:
        """Fill ``block`` (some rows, width) with the rows from ``start`` on.

        Args:
            block: What to fill.
            values: (entries,), ``self.values`` as float32.
            start: Row of this column that the first row of the block is.
        """
        if self.keys is None:
            # (all rows, width)
            block[...] = values.reshape(-1, self.width)[start : start + len(block)]
            return
        starts = self.starts[start : start + len(block) + 1]
        entries = slice(int(starts[0]), int(starts[-1]))
        block[...] = 0
        row = np.repeat(np.arange(len(block)), np.diff(starts))
        block[row, self.keys[entries]] = values[entries]

    def csr(self, values: Float32s) -> Any:
        """Return a column that has ``keys`` as a scipy CSR array (rows, width).

        The zeros of rows that store all numbers are left out; those that a sparse row stores stay.

        Args:
            values: (entries,), ``self.values`` as float32.
        """
        from scipy.sparse import csr_array

        keys, starts = self.keys, self.starts
        if keys is not None and self.whole is not None and self.whole.any():
            kept = (values != 0) | ~np.repeat(self.whole, np.diff(starts))
            ends = np.concatenate([[0], np.cumsum(kept)])
            keys, values, starts = keys[kept], values[kept], ends[starts]
        return csr_array((values, keys, starts), shape=(len(starts) - 1, self.width))


def csr_of(matrix: Float32s) -> Any:
    """Return a dense matrix (rows, width) as a scipy CSR array without its zeros."""
    from scipy.sparse import csr_array

    flat = matrix.ravel()
    kept = np.flatnonzero(flat)
    ends = np.zeros(len(matrix) + 1, np.int64)
    np.cumsum(np.count_nonzero(matrix, axis=1), out=ends[1:])
    keys = kept - np.repeat(np.arange(len(matrix)) * matrix.shape[1], np.diff(ends))
    return csr_array((flat[kept], keys, ends), shape=matrix.shape)


def list_cells(array: Any, column: str, where: Where, width: int | None) -> Cells:
    """Return the cells of a list column.

    Args:
        array: Arrow list, large list or fixed-size list of numbers (rows,), at least one row.
        column: Its name, for errors.
        where: What errors call the rows.
        width: Numbers that each cell must have; None: as many as the first.

    Raises:
        DataError: A cell or an element is null, or a cell has another width.
    """
    refuse_nulls(array, column, where, f"a list of {_numbers(width)}")
    child, starts = _flat(array)
    lengths = np.diff(starts)
    width = _one_width(lengths, column, where, width)
    values = _values(child, starts, column, where)
    return Cells(width=width, values=values, starts=starts, keys=None, whole=None)


def vector_cells(array: Any, column: str, where: Where, width: int | None) -> Cells:
    """Return the cells of a column of Spark ml Vectors.

    Args:
        array: Arrow struct (rows,) of ``VECTOR_FIELDS``, at least one row.
        column: Its name, for errors.
        where: What errors call the rows.
        width: Size that each vector must have; None: that of the first.

    Raises:
        DataError: A vector or an element is null, a vector has another size, or the indices of a
            sparse one are not as many as its values, ascending and below its size.
    """
    refuse_nulls(array, column, where, f"a vector of {_numbers(width)}")
    kind, size, indices, stored = (array.field(name) for name in VECTOR_FIELDS)
    refuse_nulls(kind, column, where, "a vector of a known type")
    refuse_nulls(stored, column, where, "a vector with values")
    child, starts = _flat(stored)
    sparse = plain(kind) == SPARSE
    sizes = np.where(sparse & present(size), plain(size), np.diff(starts))
    width = _one_width(sizes, column, where, width)
    values = _values(child, starts, column, where)
    if not sparse.any():
        return Cells(width=width, values=values, starts=starts, keys=None, whole=None)
    keys = _keys(indices, sparse, starts, (column, where, width))
    return Cells(width=width, values=values, starts=starts, keys=keys, whole=~sparse)


def refuse_nulls(array: Any, column: str, where: Where, expected: str) -> None:
    """Raise if an Arrow array has a null.

    Raises:
        DataError: It has; names the first and says how many.
    """
    if not array.null_count:
        return
    _, row = where.first(~present(array))
    count = array.null_count
    rows = f"{count:,} of {len(array):,} rows {'is' if count == 1 else 'are'} null, the first is"
    raise DataError(
        f"table {where.table!r}, column {column!r}: {rows} row {row}, expected {expected} in each\n"
        "  filter such rows, or fill them first (pyspark.ml.feature.Imputer, DataFrame.fillna)"
    )


def plain_numbers(array: Any) -> Numbers:
    """Return an Arrow array of numbers or booleans as numpy (n,), without a copy where that can be.

    Decimals come out as float64, booleans as uint8; what stands at nulls is arbitrary.
    """
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    elif pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    return plain(array)


def _numbers(width: int | None) -> str:
    return "numbers" if width is None else f"{width} numbers"


def _flat(array: Any) -> tuple[Any, Ints]:
    """Return the child of a list array from its first element on, and int64 (rows + 1,) starts."""
    if pa.types.is_fixed_size_list(array.type):
        width = array.type.list_size
        starts = np.arange(len(array) + 1, dtype=np.int64) * width
        return array.values.slice(array.offset * width, len(array) * width), starts
    starts = plain(array.offsets).astype(np.int64)
    first = int(starts[0])
    return array.values.slice(first, int(starts[-1]) - first), starts - first


def _values(child: Any, starts: Ints, column: str, where: Where) -> Numbers:
    """Return the elements of lists as numpy (entries,).

    Raises:
        DataError: One is null; names row and element.
    """
    if child.null_count:
        at = int(np.argmin(present(child)))
        row = int(np.searchsorted(starts, at, side="right")) - 1
        raise DataError(
            f"table {where.table!r}, column {column!r}: row {where.first_row + row:,}, element "
            f"{at - starts[row]:,} is null, expected a number\n"
            "  fill it before, for example with transform(x -> coalesce(x, 0))"
        )
    return plain_numbers(child)


def _one_width(widths: Ints, column: str, where: Where, width: int | None) -> int:
    """Return the width that all rows have.

    Raises:
        DataError: A row has another, or the first has none.
    """
    asked = int(widths[0]) if width is None else width
    unlike = widths != asked
    if not asked or unlike.any():
        at, row = where.first(unlike if asked else widths == 0)
        expected = "at least 1" if not asked else f"{asked:,} as the rows before"
        raise DataError(
            f"table {where.table!r}, column {column!r}: row {row} has {widths[at]:,} numbers, "
            f"expected {expected}\n"
            "  all rows of a dataset have one width: pad or cut such rows, or filter them"
        )
    return asked


def _keys(
    indices: Any, sparse: npt.NDArray[np.bool_], starts: Ints, of: tuple[str, Where, int]
) -> Ints:
    """Return the position in its row of every stored value: int64 (entries,).

    Args:
        indices: Arrow list (rows,) of the sparse rows' indices.
        sparse: (rows,), which rows have indices.
        starts: (rows + 1,), where the rows' values begin.
        of: Name of the column, rows and width.

    Raises:
        DataError: A row's indices are not as many as its values, or not ascending and in range.
    """
    column, where, width = of
    child, index_starts = _flat(indices)
    has_indices = sparse & present(indices)
    counts = np.diff(index_starts)
    lengths = np.diff(starts)
    found = np.where(has_indices, counts, 0)
    at_odds = sparse & (found != lengths)
    if at_odds.any():
        at, row = where.first(at_odds)
        raise DataError(
            f"table {where.table!r}, column {column!r}: row {row} has {found[at]:,} indices for "
            f"{lengths[at]:,} values, expected as many\n  {_SPARSE_REMEDY}"
        )
    given = _values(child, index_starts, f"{column}.indices", where).astype(np.int64)
    if has_indices.all():
        keys = given
    else:
        keys = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
        keys[np.repeat(sparse, lengths)] = given[np.repeat(has_indices, counts)]
    wrong = (keys < 0) | (keys >= width)
    # A key must be above the one before it, unless it begins a row.
    wrong[1:] |= keys[1:] <= keys[:-1]
    begins = starts[:-1][lengths > 0]
    wrong[begins] = (keys[begins] < 0) | (keys[begins] >= width)
    if wrong.any():
        at = int(np.argmax(wrong))
        row_at = int(np.searchsorted(starts, at, side="right")) - 1
        raise DataError(
            f"table {where.table!r}, column {column!r}: row {where.first_row + row_at:,} has the "
            f"index {keys[at]} at place {at - starts[row_at]}, expected ascending ones from 0 to "
            f"{width - 1:,}\n  {_SPARSE_REMEDY}"
        )
    return keys


_SPARSE_REMEDY = "build such vectors with pyspark.ml.linalg.Vectors.sparse, which sorts and checks"
