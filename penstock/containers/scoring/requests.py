"""The body of a request -> float32 rows of the width that a model was trained on.

    text/csv                          0.5,1,0            a line a row, no header; label_size=N skips N cells
    application/json                  {"instances": [ROW, ...]}
    application/jsonlines             ROW                a line a row
    application/x-recordio-protobuf   frames of Records; a single Record without frame is one row
    text/libsvm                       1 0:0.5 7:1        a line a row: label, or none, then column:value

A ROW is {"features": [0.5, 1, 0]} or {"data": {"features": {"values": [0.5, 1], "keys": [0, 1],
"shape": [3]}}}; with keys it is sparse. All rows of a request are of one kind. Nothing loops over
rows in Python: lists are walked, joined and compared by functions that loop in C.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, NoReturn

import numpy as np

from penstock import recordio
from penstock.containers.batches import Features
from penstock.containers.scoring.libsvm import libsvm_rows
from penstock.containers.serving import MediaType
from penstock.errors import DataError, InputError
from penstock.recordio.framing import HEADER_BYTES, MAGIC, padded

__all__ = ["CSV", "JSON", "JSON_LINES", "LIBSVM", "RECORDIO", "SOURCE", "rows_of"]

CSV = "text/csv"
JSON = "application/json"
JSON_LINES = "application/jsonlines"
LIBSVM = "text/libsvm"
RECORDIO = "application/x-recordio-protobuf"

SOURCE = "request"
"""What errors call the rows of a request. They count from 0."""

BOM = b"\xef\xbb\xbf"
NUMBERS = {int, float}
SHOWN_CHARACTERS = 60


def rows_of(body: bytes, content: MediaType, width: int) -> Features:
    """Return the rows of a body, float32 (n, width), an array or CSR.

    NaN, null and empty cells are NaN: what they mean is the model's to say.

    Args:
        body: Its bytes.
        content: What it is, one of the media types above, with the header's parameters.
        width: Features that the model was trained on.

    Raises:
        InputError: The body, or a parameter of Content-Type, is wrong as a whole.
        DataError: A row is wrong; names it.
    """
    readers: Mapping[str, Callable[[], Features]] = {
        CSV: lambda: _csv(body, content, width),
        JSON: lambda: _instances(_parsed(_text(body)), width),
        JSON_LINES: lambda: _rows(_lines(_text(body)), width),
        RECORDIO: lambda: _recordio(body, width),
        LIBSVM: lambda: libsvm_rows(body, width, SOURCE),
    }
    return readers[content.name]()


def _csv(body: bytes, content: MediaType, width: int) -> Features:
    import pyarrow as pa
    from pyarrow import csv

    labels = content.parameters.get("label_size", "0")
    if not (labels.isascii() and labels.isdigit() and len(labels) < 5):
        raise InputError(
            f"Content-Type: label_size is {labels!r}, expected a whole number\n"
            "  it is how many cells stand before the features of each row, and are not looked at"
        )
    if not body.isascii():
        _text(body)
    names = [str(at) for at in range(-int(labels), width)]
    bad: list[Any] = []

    def refuse(row: Any) -> str:
        bad.append(row)
        return "error"

    try:
        table = csv.read_csv(
            pa.BufferReader(body.removeprefix(BOM)),
            read_options=csv.ReadOptions(
                column_names=names, use_threads=False, block_size=len(body) + 1
            ),
            parse_options=csv.ParseOptions(
                ignore_empty_lines=width < 2, invalid_row_handler=refuse
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names[int(labels) :], pa.float32()),
                include_columns=names[int(labels) :],
                null_values=["", "NaN", "nan"],
            ),
        )
    except pa.ArrowInvalid as error:
        raise _wrong_csv(body, int(labels), width, bad, error) from None
    rows = np.empty((table.num_rows, width), np.float32)
    for at, column in enumerate(table.columns):
        start = 0
        for chunk in column.chunks:
            rows[start : start + len(chunk), at] = _numbers(chunk)
            start += len(chunk)
    return rows


def _numbers(chunk: Any) -> Any:
    """Return a float32 chunk as numpy has it, null as NaN; pyarrow's own way imports pandas."""
    present, values = chunk.buffers()
    numbers = np.frombuffer(values, np.float32)[chunk.offset : chunk.offset + len(chunk)]
    if not chunk.null_count:
        return numbers
    bits = np.unpackbits(np.frombuffer(present, np.uint8), bitorder="little")
    there = bits[chunk.offset : chunk.offset + len(chunk)].astype(np.bool_)
    return np.where(there, numbers, np.float32(np.nan))


def _wrong_csv(
    body: bytes, labels: int, width: int, bad: Sequence[Any], error: Exception
) -> DataError:
    """Return what is wrong with a CSV; looks at its rows one by one, as there is a wrong one."""
    before = f" after {labels} of labels" if labels else ""
    if bad:
        row = bad[0]
        place = "" if row.number is None else f", row {row.number - 1:,}"
        cells = "1 cell" if row.actual_columns == 1 else f"{row.actual_columns:,} cells"
        return DataError(
            f"{SOURCE}{place}: it has {cells}, expected {width:,} features{before}: "
            f"{row.text[:SHOWN_CHARACTERS]!r}\n"
            "  send the features that the model was trained on, without a header"
        )
    for at, line in enumerate(body.decode(errors="replace").splitlines()):
        for column, cell in enumerate(line.split(",")[labels:]):
            if cell.strip() and not _is_number(cell):
                return DataError(
                    f"{SOURCE}, row {at:,}: feature {column} is {cell[:SHOWN_CHARACTERS]!r}, expected a "
                    "number\n  send features without a header; a plan's container encodes raw cells"
                )
    return DataError(f"{SOURCE}: the body is no CSV of numbers: {str(error).splitlines()[0][:200]}")


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip())
    except ValueError:
        return False
    return True


def _recordio(body: bytes, width: int) -> Features:
    if body[:4] != MAGIC.to_bytes(4, "little"):
        # Batch transform takes the frame off a record that it sends alone.
        head = MAGIC.to_bytes(4, "little") + len(body).to_bytes(4, "little")
        body = (head + body).ljust(HEADER_BYTES + padded(len(body)), b"\0")
    features = recordio.decode(body, source=SOURCE).features.astype(np.float32, copy=False)
    return features if features.shape[0] else np.empty((0, width), np.float32)


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{SOURCE}: byte {error.start:,} is {body[error.start]:#04x}, expected UTF-8"
        ) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number; send null")


def _parsed(text: str, row: int | None = None) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        at = "" if row is None else f", row {row:,}"
        raise DataError(f"{SOURCE}{at}: no JSON: {error}") from None


def _lines(text: str) -> list[Any]:
    # Not splitlines: a text may hold other line ends as they are.
    lines = text.removesuffix("\n").split("\n")
    try:
        found: list[Any] = json.loads(f"[{','.join(lines)}]", parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        found = []
    if len(found) == len(lines):
        return found
    return [_parsed(line, at) for at, line in enumerate(lines)]  # until the wrong one


def _instances(found: Any, width: int) -> Features:
    if not (isinstance(found, dict) and isinstance(found.get("instances"), list)):
        raise InputError(
            f"{SOURCE}: the body is {_shown(found)}, expected "
            '{"instances": [{"features": [0.5, 1.0]}]}'
        )
    return _rows(found["instances"], width)


def _rows(rows: list[Any], width: int) -> Features:
    if not rows:
        return np.empty((0, width), np.float32)
    try:
        if isinstance(rows[0], dict) and "data" in rows[0]:
            inner = map(operator.itemgetter("data"), rows)
            return _tensors(list(map(operator.itemgetter("features"), inner)), width)
        return _matrix(list(map(operator.itemgetter("features"), rows)), width)
    except (KeyError, TypeError, IndexError):
        at = next((at for at, row in enumerate(rows) if not _is_row(row, rows[0])), 0)
    raise DataError(
        f"{SOURCE}, row {at:,}: it is {_shown(rows[at])}, expected "
        '{"features": [0.5, 1.0]} or {"data": {"features": {"values": [0.5, 1.0]}}}, all rows alike'
    )


def _is_row(row: Any, first: Any) -> bool:
    if not isinstance(row, dict):
        return False
    if "data" not in first:
        return "features" in row
    inner = row.get("data")
    return isinstance(inner, dict) and isinstance(inner.get("features"), dict)


def _tensors(tensors: list[Any], width: int) -> Features:
    values = list(map(operator.itemgetter("values"), tensors))
    if "keys" not in tensors[0]:
        return _matrix(values, width)
    return _sparse(values, list(map(operator.itemgetter("keys"), tensors)), tensors, width)


def _matrix(lists: list[Any], width: int) -> Features:
    """Return lists of numbers, of equal length, as a matrix."""
    if set(map(type, lists)) != {list}:
        raise TypeError
    if set(map(len, lists)) != {width}:
        at = next(at for at, row in enumerate(lists) if len(row) != width)
        raise DataError(
            f"{SOURCE}, row {at:,}: it has {_count(len(lists[at]), 'feature')}, expected {width:,}\n"
            "  send the features that the model was trained on"
        )
    _check_numbers(lists, NUMBERS | {type(None)})
    return _floats(lists)


def _sparse(values: list[Any], keys: list[Any], tensors: list[Any], width: int) -> Features:
    from scipy import sparse

    if set(map(type, chain(values, keys))) != {list}:
        raise TypeError
    counts = np.fromiter(map(len, values), np.int64, len(values))
    differ = counts != np.fromiter(map(len, keys), np.int64, len(keys))
    if differ.any():
        at = int(differ.argmax())
        raise DataError(
            f"{SOURCE}, row {at:,}: it has {_count(len(values[at]), 'value')} and "
            f"{_count(len(keys[at]), 'key')}, expected as many of both"
        )
    _check_numbers(values, NUMBERS)
    _check_numbers(keys, {int})
    columns = np.array(list(chain.from_iterable(keys)), np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)])
    wrong = (columns < 0) | (columns >= width)
    if wrong.any():
        first = int(wrong.argmax())
        at = int(np.searchsorted(starts, first, "right")) - 1
        raise DataError(
            f"{SOURCE}, row {at:,}: key {int(columns[first])} is none of the {width:,} features, "
            "which count from 0"
        )
    shapes = list(map(dict.get, tensors, repeat("shape"), repeat([width])))
    if shapes != [[width]] * len(shapes):
        at = next(at for at, shape in enumerate(shapes) if shape != [width])
        raise DataError(f"{SOURCE}, row {at:,}: shape is {shapes[at]!r}, expected [{width}]")
    found = sparse.csr_array(
        (_floats(list(chain.from_iterable(values))), columns, starts), shape=(len(values), width)
    )
    found.sum_duplicates()
    return found


def _check_numbers(lists: list[list[Any]], kinds: set[type]) -> None:
    if set(map(type, chain.from_iterable(lists))) <= kinds:
        return
    at, cell = next(
        (at, cell) for at, row in enumerate(lists) for cell in row if type(cell) not in kinds
    )
    words = "numbers" if float in kinds else "whole numbers"
    raise DataError(f"{SOURCE}, row {at:,}: it has {_shown(cell)}, expected {words} alone")


def _floats(values: list[Any]) -> Any:
    try:
        with np.errstate(over="ignore"):
            return np.array(values, np.float64).astype(np.float32)
    except OverflowError:
        raise DataError(f"{SOURCE}: a number is too large for 32 bits") from None


def _count(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"


def _shown(value: object) -> str:
    found = repr(value)
    return found if len(found) <= SHOWN_CHARACTERS else found[:SHOWN_CHARACTERS] + "..."
