"""Feature matrices -> the bytes of an answer, in the formats that SageMaker's algorithms read.

    application/x-recordio-protobuf   what penstock.recordio writes
    text/csv                          0.5,1,0             a line a row, no header
    application/json                  {"instances": [{"features": [0.5, 1, 0]}, ...]}
    application/jsonlines             {"features": [0.5, 1, 0]}                       a line a row

A sparse matrix is, in JSON, {"data": {"features": {"keys": [0], "shape": [3], "values": [0.5]}}}; a
row without entries has key 0 with value 0, as in RecordIO. Numbers are the shortest texts that give
the same float32. Nothing loops over rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock import recordio
from penstock.cells import names_array
from penstock.errors import InputError

__all__ = ["GIVES", "encoded"]

RECORDIO = "application/x-recordio-protobuf"
CSV = "text/csv"
JSON = "application/json"
JSON_LINES = "application/jsonlines"
GIVES = (RECORDIO, CSV, JSON, JSON_LINES)

# A cell of dense text takes two bytes at least.
MOST_TEXT_CELLS = 1 << 28


def encoded(matrix: Any, media: str) -> bytes | memoryview:
    """Return the rows of a matrix as bytes.

    Args:
        matrix: float32 (rows, width), an array or CSR.
        media: One of ``GIVES``.

    Raises:
        InputError: A sparse matrix is asked for as CSV, and has too many cells.
    """
    sparse = not isinstance(matrix, np.ndarray)
    if media == RECORDIO:
        return recordio.encode_sparse(matrix) if sparse else recordio.encode_dense(matrix)
    if media == CSV:
        return _joined(_dense_lines(matrix), "\n", end="\n")
    rows = (
        _sparse_objects(matrix) if sparse else _wrapped('{"features":[', _dense_lines(matrix), "]}")
    )
    if media == JSON_LINES:
        return _joined(rows, "\n", end="\n")
    return b'{"instances":[' + _joined(rows, ",", end="") + b"]}\n"


def _dense_lines(matrix: Any) -> Any:
    """Return the numbers of each row, joined by commas: large_string (rows,)."""
    rows, width = matrix.shape
    if rows * width > MOST_TEXT_CELLS:
        raise InputError(
            f"the answer has {rows:,} x {width:,} cells, expected at most {MOST_TEXT_CELLS:,} as text\n"
            f"  send fewer rows, or ask for {RECORDIO}"
        )
    dense = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    offsets = np.arange(rows + 1, dtype=np.int64) * width
    return _lists(_texts(dense.ravel(), pa.float32()), offsets)


def _sparse_objects(matrix: Any) -> Any:
    """Return each row of a CSR array as a JSON object: large_string (rows,)."""
    starts = matrix.indptr.astype(np.int64)
    keys = _lists(_texts(matrix.indices.astype(np.int32), pa.int32()), starts)
    values = _lists(_texts(matrix.data, pa.float32()), starts)
    empty = pc.equal(pc.binary_length(keys), pc.binary_length(_text("")))
    keys, values = (pc.if_else(empty, _text("0"), each) for each in (keys, values))
    middle = f'],"shape":[{matrix.shape[1]}],"values":['
    inner = pc.binary_join_element_wise(keys, values, _text(middle))
    return _wrapped('{"data":{"features":{"keys":[', inner, "]}}}")


def _texts(values: Any, kind: Any) -> Any:
    """Return numbers (n,) as shortest texts: large_string (n,)."""
    values = np.ascontiguousarray(values)
    array = pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])
    return array.cast(pa.large_string())


def _lists(texts: Any, offsets: Any) -> Any:
    """Return the texts between neighbouring offsets, joined by commas."""
    buffers = [None, pa.py_buffer(offsets.astype(np.int32))]
    kind = pa.list_(pa.large_string())
    lists = pa.Array.from_buffers(kind, len(offsets) - 1, buffers, children=[texts])
    return pc.binary_join(lists, _text(","))


def _wrapped(before: str, texts: Any, behind: str) -> Any:
    return pc.binary_join_element_wise(_text(before), texts, _text(behind), _text(""))


def _joined(texts: Any, between: str, *, end: str) -> bytes:
    """Return all texts as one."""
    if not len(texts):
        return b""
    whole = _lists_of_all(texts, between)
    return bytes(whole.buffers()[2][: int(pc.binary_length(whole)[0].as_py())]) + end.encode()


def _lists_of_all(texts: Any, between: str) -> Any:
    buffers = [None, pa.py_buffer(np.array([0, len(texts)], np.int32))]
    kind = pa.list_(pa.large_string())
    lists = pa.Array.from_buffers(kind, 1, buffers, children=[texts])
    return pc.binary_join(lists, _text(between))


def _text(value: str) -> Any:
    """Return an Arrow text; pyarrow's own way would import pandas."""
    return names_array([value])[0]
