"""Arrow arrays of cells as numpy numbers, texts and masks; which types are read alike.

pyarrow's own ways between numpy and Python (to_numpy, array, scalar, fill_null) import pandas, which
costs a Spark worker or a serving container some 0.3 s at its start. The functions here do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penstock.sketch import Floats, Ints

__all__ = [
    "Code",
    "Family",
    "code_texts",
    "coded",
    "family",
    "first_names",
    "first_numbers",
    "names_array",
    "numbers",
    "plain",
    "present",
    "taken",
    "texts",
    "without_codes",
]

Code = str | int | float | bool
Family = Literal["number", "boolean", "string", "date", "null", "other"]

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATING = ("halffloat", "float", "double")


def family(kind: str) -> Family:
    """Return which types are read alike, from an Arrow type's text.

    >>> [family(kind) for kind in ("int32", "decimal128(9, 2)", "large_string", "date32[day]")]
    ['number', 'number', 'string', 'date']
    >>> family("dictionary<values=string, indices=int32, ordered=0>")
    'string'
    """
    if kind.startswith("dictionary<values="):
        return family(kind.removeprefix("dictionary<values=").rsplit(", indices=", 1)[0])
    if kind in INTEGERS or kind in FLOATING or kind.startswith("decimal"):
        return "number"
    if kind in ("string", "large_string", "string_view"):
        return "string"
    named: dict[str, Family] = {"bool": "boolean", "null": "null"}
    return named.get(kind, "date" if kind.startswith("date") else "other")


def plain(array: Any) -> npt.NDArray[Any]:
    """Return a view of an Arrow array of numbers as numpy (n,); what stands at nulls is arbitrary."""
    dtype = np.dtype(array.type.to_pandas_dtype())
    buffer = array.buffers()[1]
    if buffer is None:
        return np.empty(len(array), dtype)
    return np.frombuffer(buffer, dtype, len(array), array.offset * dtype.itemsize)


def present(array: Any) -> npt.NDArray[np.bool_]:
    """Return where an Arrow array is not null, (n,)."""
    if not array.null_count:
        return np.ones(len(array), np.bool_)
    return plain(array.is_valid().cast(pa.uint8())).view(np.bool_)


def names_array(names: Sequence[str]) -> Any:
    """Return an Arrow large_string array of ``names``."""
    encoded = [name.encode() for name in names]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(name) for name in encoded], out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.large_string(), len(encoded), buffers)


def taken(array: Any, at: Ints) -> Any:
    """Return the elements ``at`` (k,) of an Arrow array."""
    at = np.ascontiguousarray(at, np.int64)
    return array.take(pa.Array.from_buffers(pa.int64(), len(at), [None, pa.py_buffer(at)]))


def numbers(array: Any) -> Floats:
    """Return a number or boolean Arrow array as float64 (n,), NaN for null. May be read-only."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_null(array.type):
        return np.full(len(array), np.nan)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    elif pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    values = np.asarray(plain(array), np.float64)
    return values if not array.null_count else np.where(present(array), values, np.nan)


def texts(array: Any) -> Any:
    """Return the values of a categorical Arrow array as large_string (n,), null for null or NaN.

    A whole number has the same text whether it arrives as an integer, a float or a decimal.
    """
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    if not pa.types.is_floating(array.type):
        return array.cast(pa.large_string())
    none = pa.nulls(1, array.type)[0]
    array = pc.if_else(pc.is_nan(array), none, array)
    whole = pc.and_(pc.equal(pc.floor(array), array), pc.less(pc.abs(array), 2.0**53))
    integers = pc.cast(pc.if_else(whole, array, none), pa.int64())
    return pc.coalesce(integers.cast(pa.large_string()), array.cast(pa.large_string()))


def coded(values: Floats, codes: Sequence[Code]) -> npt.NDArray[np.bool_]:
    """Return where numbers (n,) are one of the codes that stand for a missing cell."""
    return np.isin(values, np.array([float(code) for code in codes], np.float64))


def code_texts(codes: Sequence[Code]) -> list[str]:
    """Return the texts of codes, as ``texts`` makes those of cells that equal them.

    >>> code_texts([True, -999, 2.0, 0.5, "n/a"])
    ['true', '-999', '2', '0.5', 'n/a']
    """
    words = [str(code).lower() if isinstance(code, bool) else code for code in codes]
    return [str(int(w)) if isinstance(w, float) and w.is_integer() else str(w) for w in words]


def without_codes(array: Any, codes: Sequence[Code]) -> Any:
    """Return an Arrow array of names (n,) with null where a cell is one of ``codes``.

    A cell is a code if their texts are equal, as ``texts`` makes them: -999 is found in a column of
    whole numbers, of floats and of texts. Without codes the array itself is returned; else one of a
    dictionary type.
    """
    if not codes or pa.types.is_null(array.type):
        return array
    known = names_array(code_texts(codes))
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    names = encoded.dictionary
    found = pc.is_in(texts(names), value_set=known)
    kept = pc.if_else(found, pa.nulls(1, names.type)[0], names)
    return pa.DictionaryArray.from_arrays(encoded.indices, kept)


def first_names(arrays: Sequence[Any], codes: Sequence[Code] = ()) -> Any:
    """Return the names of the first Arrow array, or where that has none, of the next one: (n,).

    Args:
        arrays: Arrow arrays of names, each (n,).
        codes: Values that stand for a missing cell, in each of them.
    """
    found = [without_codes(array, codes) for array in arrays]
    return found[0] if len(found) == 1 else pc.coalesce(*map(texts, found))


def first_numbers(arrays: Sequence[Any], codes: Sequence[Code] = ()) -> tuple[Floats, int]:
    """Return the numbers of the first array, or where that has none, of the next one.

    Args:
        arrays: Arrow arrays of numbers or booleans, each (n,).
        codes: Numbers that stand for a missing cell.

    Returns:
        Float64 (n,), NaN where no array has a number, maybe read-only; and how many of those are
        missing otherwise than as a NaN of an only array.
    """
    values, nulls = numbers(arrays[0]), arrays[0].null_count
    if codes:
        found = coded(values, codes)
        nulls += int(found.sum())
        values = np.where(found, np.nan, values)
    for array in arrays[1:]:
        other = numbers(array)
        other = np.where(coded(other, codes), np.nan, other) if codes else other
        values = np.where(np.isnan(values), other, values)
    return values, nulls if len(arrays) == 1 else int(np.isnan(values).sum())
