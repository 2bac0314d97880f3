"""Texts of cells -> Arrow arrays of the fitted type, whole columns at a time.

number      as 3, -0.5, 1e6; blanks around it do not matter
boolean     true, false, 1, 0, in any case
date        2024-01-31
time        2024-01-31T12:00:00.5+01:00; no zone means UTC, no time of day midnight
vector      a JSON list of numbers

An empty cell is missing, quoted or not; but a quoted empty cell of a text column is the empty text.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.cells import present
from penstock.containers.rows.faults import wrong_cell
from penstock.containers.rows.pycells import vectors
from penstock.containers.rows.schema import Shape, arrow_type, shape_of
from penstock.encode import Where

__all__ = ["as_fitted"]

_ZONE = r"[T ].*(?:Z|[+-]\d{2}(?::?\d{2})?)$"
_TIME = (
    r"^(?P<head>\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)?)\d*"
    r"(?P<zone>Z|[+-]\d{2}(?::?\d{2})?)?$"
)
_WHOLE_FLOAT = r"^[+-]?\d+\.0*$"

Cast = Callable[[Any], Any]


def as_fitted(texts: Any, fitted: str, column: str, where: Where) -> Any:
    """Return a column of texts as what it was fitted on.

    Args:
        texts: Arrow large_string (n,), null where a cell is missing.
        fitted: Text of the Arrow type that the plan's column was fitted on.
        column: Its name, for the error.
        where: What errors call the rows.

    Raises:
        DataError: A cell does not look like the type; names the first one.
    """
    shape = shape_of(fitted)
    if shape == "text":
        return texts
    cast, given = _cast(shape, fitted, column, where), texts
    try:
        return cast(texts)
    except pa.ArrowInvalid:
        # Seldom met: blanks, quoted empty cells, whole numbers written as 3.0, further digits.
        texts = _tidied(texts, shape)
    try:
        return cast(texts)
    except pa.ArrowInvalid:
        at = _first_refused(cast, texts)
        raise wrong_cell(column, at, given[at].as_py(), fitted, where) from None


def _cast(shape: Shape, fitted: str, column: str, where: Where) -> Cast:
    if shape == "time":
        return _times
    if shape == "vector":
        return partial(_vectors, fitted=fitted, column=column, where=where)
    if shape == "nothing":
        return _nothing
    kind = arrow_type(fitted)
    if shape == "whole":
        return partial(_wholes, kind=kind)
    if pa.types.is_date64(kind):
        return lambda texts: texts.cast(pa.date32()).cast(kind)
    if pa.types.is_float16(kind):
        return lambda texts: texts.cast(pa.float32()).cast(kind)
    return lambda texts: texts.cast(kind)


def _tidied(texts: Any, shape: Shape) -> Any:
    """Return texts without what does not matter to any type but text."""
    texts = pc.utf8_trim_whitespace(texts)
    texts = pc.if_else(pc.equal(pc.binary_length(texts), _whole(0)), _missing(texts), texts)
    if shape in ("whole", "number", "decimal"):
        texts = pc.replace_substring_regex(texts, r"^\+([\d.])", r"\1")
    if shape == "whole":
        floats = pc.match_substring_regex(texts, _WHOLE_FLOAT)
        texts = pc.if_else(floats, pc.replace_substring_regex(texts, r"\.0*$", ""), texts)
    if shape == "time":
        texts = pc.replace_substring_regex(texts, _TIME, r"\1\2")
    return texts


def _wholes(texts: Any, kind: Any) -> Any:
    # Arrow would read 0x10 as 16.
    if _any(pc.match_substring(texts, "x", ignore_case=True)):
        raise pa.ArrowInvalid("not a whole number")
    return texts.cast(kind)


def _times(texts: Any) -> Any:
    """Return moments in UTC, timestamp[us]."""
    zoned = pc.match_substring_regex(texts, _ZONE)
    local = pc.if_else(zoned, _missing(texts), texts).cast(pa.timestamp("us"))
    if not _any(zoned):
        return local
    moments = pc.if_else(zoned, texts, _missing(texts)).cast(pa.timestamp("us", "UTC"))
    return pc.coalesce(local, moments.cast(pa.timestamp("us")))


def _vectors(texts: Any, *, fitted: str, column: str, where: Where) -> Any:
    found = pc.drop_null(texts)
    # Every cell must be one list: what is joined below has then as many lists as there are cells.
    looks = pc.match_substring_regex(found, r"^\s*\[[^\[\]{}\"]*\]\s*$")
    if len(looks) and not pc.min_max(looks)["min"].as_py():
        raise pa.ArrowInvalid("not a list of numbers")
    try:
        lists = json.loads("[" + ",".join(found.to_pylist()) + "]")
    except ValueError as error:
        raise pa.ArrowInvalid("not a list of numbers") from error
    cells: Any = np.full(len(texts), None, object)
    holder = np.empty(len(lists), object)
    holder[:] = [*lists, None][:-1]
    cells[present(texts)] = holder
    return vectors(cells.tolist(), column, fitted, where)


def _nothing(texts: Any) -> Any:
    if texts.null_count < len(texts):
        raise pa.ArrowInvalid("not null")
    return pa.nulls(len(texts))


def _first_refused(cast: Cast, texts: Any) -> int:
    """Return the first cell that cannot be cast; one cannot. Halves, and halves again."""
    at, size = 0, len(texts)
    while size > 1:
        half = size // 2
        try:
            cast(texts.slice(at, half))
        except pa.ArrowInvalid:
            size = half
        else:
            at, size = at + half, size - half
    return at


def _any(mask: Any) -> bool:
    return bool(pc.any(mask).as_py())


def _missing(texts: Any) -> Any:
    return pa.nulls(1, texts.type)[0]


def _whole(value: int) -> Any:
    return pa.Array.from_buffers(pa.int64(), 1, [None, pa.py_buffer(np.array([value]))])[0]
