"""Cells as Python's json gives them -> Arrow arrays of the fitted type, whole columns at a time.

Nothing here calls Python code for a row: types are gathered, chosen and converted by functions that
loop in C. Types are what JSON says: a text is no number, a number is no text.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import chain, compress, repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.containers.rows.faults import shown, wrong_cell
from penstock.containers.rows.schema import WORDS, Shape, arrow_type, shape_of
from penstock.encode import Where
from penstock.errors import DataError

__all__ = ["column_of", "texts_of", "vectors"]

Mask = npt.NDArray[np.bool_]

KINDS: dict[Shape, tuple[type, ...]] = {
    "whole": (int, float),
    "number": (int, float),
    "decimal": (int, float),
    "boolean": (bool,),
    "text": (str,),
    "date": (str,),
    "time": (str,),
    "vector": (list,),
    "nothing": (),
}
EXACT = 2.0**53


def column_of(cells: Sequence[object], fitted: str, column: str, where: Where) -> Any:
    """Return a column of parsed JSON values as what it was fitted on.

    Args:
        cells: (n,), None where a cell is missing.
        fitted: Text of the Arrow type that the plan's column was fitted on.
        column: Its name, for errors.
        where: What errors call the rows.

    Raises:
        DataError: A cell is of another type, or does not fit; names the first one.
    """
    from penstock.containers.rows.textcells import as_fitted  # which needs this module

    shape = shape_of(fitted)
    _check_kinds(cells, shape, fitted, column, where)
    if shape == "nothing":
        return pa.nulls(len(cells))
    if shape == "vector":
        return vectors(cells, column, fitted, where)
    if shape in ("text", "date", "time"):
        return as_fitted(texts_of(cells, column, where), fitted, column, where)
    keep = _present(cells)
    found = list(compress(cells, keep))
    if shape == "decimal":
        texts = texts_of(list(map(str, found)), column, where)
        return as_fitted(_scattered_texts(texts, keep), fitted, column, where)
    if shape == "boolean":
        return _array(np.array(found, np.uint8), keep, pa.uint8()).cast(pa.bool_())
    if shape == "whole":
        return _array(_whole(found, keep, fitted, column, where), keep, arrow_type(fitted))
    with np.errstate(over="ignore"):
        # Past the range of the type is infinity, which encoding refuses.
        numbers = _floats(found, keep, fitted, column, where)
        dtype = arrow_type(fitted).to_pandas_dtype()
        return _array(numbers.astype(dtype), keep, arrow_type(fitted))


def texts_of(cells: Sequence[Any], column: str, where: Where) -> Any:
    """Return texts as Arrow large_string (n,), null for None.

    Raises:
        DataError: A text has half of a surrogate pair, which UTF-8 cannot hold.
    """
    keep = _present(cells)
    try:
        encoded = list(map(str.encode, compress(cells, keep)))
    except UnicodeEncodeError:
        at = next(at for at, cell in enumerate(cells) if cell is not None and _broken(cell))
        raise DataError(
            f"table {where.table!r}, column {column!r}: row {where.first_row + at:,} is "
            f"{shown(cells[at])}, expected a text of whole characters\n"
            "  half of a surrogate pair is no character; mend the text"
        ) from None
    lengths = np.zeros(len(cells), np.int64)
    lengths[keep] = np.fromiter(map(len, encoded), np.int64, len(encoded))
    return _texts(lengths, b"".join(encoded), keep)


def vectors(cells: Sequence[Any], column: str, fitted: str, where: Where) -> Any:
    """Return lists of numbers as Arrow list<double> (n,), null for None.

    Raises:
        DataError: An element is no number; names row and element.
    """
    keep = _present(cells)
    found = list(compress(cells, keep))
    lengths = np.zeros(len(cells), np.int64)
    lengths[keep] = np.fromiter(map(len, found), np.int64, len(found))
    flat = list(chain.from_iterable(found))
    ends = np.concatenate([[0], np.cumsum(lengths)])
    wrong = np.fromiter(map(_NUMBERS.__contains__, map(type, flat)), np.bool_, len(flat))
    at = int(np.argmin(wrong)) if not wrong.all() else -1
    values = np.zeros(0)
    if at < 0:
        try:
            values = np.array(flat, np.float64)
        except OverflowError:
            at = _first_past(flat)
    if at >= 0:
        row = int(np.searchsorted(ends, at, side="right")) - 1
        raise DataError(
            f"table {where.table!r}, column {column!r}: row {where.first_row + row:,}, element "
            f"{at - int(ends[row]):,} is {shown(flat[at])}, expected a number (fitted on {fitted})\n"
            f"  send {WORDS['vector']}"
        )
    offsets = pa.py_buffer(ends.astype(np.int32))
    child = pa.Array.from_buffers(pa.float64(), len(values), [None, pa.py_buffer(values)])
    buffers = [_bitmap(keep), offsets]
    return pa.Array.from_buffers(pa.list_(pa.float64()), len(cells), buffers, children=[child])


_NUMBERS = frozenset((int, float))


def _check_kinds(
    cells: Sequence[object], shape: Shape, fitted: str, column: str, where: Where
) -> None:
    allowed = {*KINDS[shape], type(None)}
    if set(map(type, cells)) <= allowed:
        return
    at = next(at for at, cell in enumerate(cells) if type(cell) not in allowed)
    raise wrong_cell(column, at, cells[at], fitted, where)


def _whole(
    found: list[Any], keep: Mask, fitted: str, column: str, where: Where
) -> npt.NDArray[Any]:
    """Return whole numbers as int64 or uint64, those written as 3.0 as well."""
    dtype = arrow_type(fitted).to_pandas_dtype()
    floats = np.fromiter(map(operator.is_, map(type, found), repeat(float)), np.bool_, len(found))
    bad = np.zeros(len(found), np.bool_)
    if floats.any():
        values = np.array(list(compress(found, floats)))
        bad[floats] = (values != np.floor(values)) | (np.abs(values) >= EXACT)
    if not bad.any():
        try:
            return np.array(list(map(int, found)), dtype)
        except OverflowError:
            limits = np.iinfo(dtype)
            inside = map(
                operator.and_, map(limits.min.__le__, found), map(limits.max.__ge__, found)
            )
            bad = ~np.fromiter(inside, np.bool_, len(found))
    at = int(np.argmax(bad))
    raise wrong_cell(column, int(np.flatnonzero(keep)[at]), found[at], fitted, where)


def _floats(
    found: list[Any], keep: Mask, fitted: str, column: str, where: Where
) -> npt.NDArray[np.float64]:
    try:
        return np.array(found, np.float64)
    except OverflowError:
        at = _first_past(found)
        row = int(np.flatnonzero(keep)[at])
        raise wrong_cell(column, row, found[at], fitted, where) from None


def _first_past(numbers: Sequence[Any]) -> int:
    """Return the first whole number that no float64 can hold."""
    most = int(np.finfo(np.float64).max)
    return next(at for at, number in enumerate(numbers) if not -most <= number <= most)


def _broken(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _present(cells: Sequence[object]) -> Mask:
    return np.fromiter(map(operator.is_not, cells, repeat(None)), np.bool_, len(cells))


def _bitmap(keep: Mask) -> Any:
    return None if keep.all() else pa.py_buffer(np.packbits(keep, bitorder="little"))


def _array(values: npt.NDArray[Any], keep: Mask, kind: Any) -> Any:
    """Return numbers as an Arrow array (n,): ``values`` where ``keep``, null elsewhere."""
    spread = np.zeros(len(keep), values.dtype)
    spread[keep] = values
    return pa.Array.from_buffers(kind, len(keep), [_bitmap(keep), pa.py_buffer(spread)])


def _texts(lengths: npt.NDArray[np.int64], content: bytes, keep: Mask) -> Any:
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    buffers = [_bitmap(keep), pa.py_buffer(offsets), pa.py_buffer(content)]
    return pa.Array.from_buffers(pa.large_string(), len(lengths), buffers)


def _scattered_texts(texts: Any, keep: Mask) -> Any:
    """Return texts (n,): ``texts`` where ``keep``, null elsewhere."""
    at = np.cumsum(keep) - 1
    indices = pa.Array.from_buffers(
        pa.int64(), len(keep), [_bitmap(keep), pa.py_buffer(at.astype(np.int64))]
    )
    return texts.take(indices)
