"""Types of the columns that a plan reads, and what a cell of each looks like."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import pyarrow as pa

from penstock.cells import INTEGERS, family
from penstock.columns import CategoricalColumn, InteractionColumn, NumericColumn, PlanColumn
from penstock.plan import FeaturePlan

__all__ = ["WORDS", "Shape", "arrow_type", "input_types", "shape_of"]

Shape = Literal[
    "whole", "number", "decimal", "boolean", "text", "date", "time", "vector", "nothing"
]

WORDS: Mapping[Shape, str] = {
    "whole": "a whole number",
    "number": "a number",
    "decimal": "a decimal number",
    "boolean": "true or false",
    "text": "a text",
    "date": "a date, as 2024-01-31",
    "time": "a time, as 2024-01-31T12:00:00Z",
    "vector": "a list of numbers, as [0.5, 1.0]",
    "nothing": "nothing, as in the train split",
}

_DECIMAL = re.compile(r"decimal(?:32|64|128|256)\((\d+), (-?\d+)\)")


def input_types(plan: FeaturePlan) -> dict[str, str]:
    """Return the text of the Arrow type that each input column of a plan was fitted on, in order.

    A plan does not say the type of a column that only fills another one's missing cells. It is read
    as a double for a number, and as the filled column's type for a name.
    """
    found: dict[str, str] = {}
    for name, kind, certain in _types(plan.columns):
        if certain or name not in found:
            found[name] = kind
    return {name: found[name] for name in plan.input_columns}


def _types(columns: Iterable[PlanColumn]) -> Iterator[tuple[str, str, bool]]:
    """Yield column, type, and whether the plan says so; what is not certain comes last."""
    guessed = []
    for column in columns:
        if isinstance(column, InteractionColumn):
            for name, kind, certain in _types(column.parts):
                if certain:
                    yield name, kind, True
                else:
                    guessed.append((name, kind, False))
            continue
        fitted: str = column.entry()["type"] if not hasattr(column, "type") else column.type
        yield column.name, fitted, True
        if isinstance(column, NumericColumn) and column.groups:
            yield column.groups.column, column.groups.type, True
        if isinstance(column, NumericColumn) and column.carry:
            guessed.append((column.carry.column, "double", False))
        if isinstance(column, CategoricalColumn) and column.carry:
            guessed.append((column.carry.column, fitted, False))
    yield from guessed


def shape_of(fitted: str) -> Shape:
    """Return what the cells of a column look like that was fitted on an Arrow type.

    >>> [shape_of(kind) for kind in ("int32", "float", "decimal128(9, 2)", "timestamp[us, tz=UTC]")]
    ['whole', 'number', 'decimal', 'time']
    """
    fitted = _values(fitted)
    if fitted in INTEGERS:
        return "whole"
    if fitted.startswith("decimal"):
        return "decimal"
    if fitted.startswith("timestamp["):
        return "time"
    shapes: dict[str, Shape] = {
        "number": "number",
        "boolean": "boolean",
        "string": "text",
        "date": "date",
        "null": "nothing",
    }
    return shapes.get(family(fitted), "vector")


def arrow_type(fitted: str) -> Any:
    """Return the Arrow type that cells are read as: the fitted one, but for widths that do not matter."""
    fitted = _values(fitted)
    if found := _DECIMAL.fullmatch(fitted):
        precision, scale = int(found[1]), int(found[2])
        return (
            pa.decimal256(precision, scale) if precision > 38 else pa.decimal128(precision, scale)
        )
    exact = {
        "uint64": pa.uint64(),
        "halffloat": pa.float16(),
        "float": pa.float32(),
        "date64[ms]": pa.date64(),
    }
    by_shape = {
        "whole": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "text": pa.large_string(),
        "date": pa.date32(),
        "time": pa.timestamp("us"),
        "vector": pa.list_(pa.float64()),
        "nothing": pa.null(),
    }
    return exact.get(fitted) or by_shape[shape_of(fitted)]


def _values(fitted: str) -> str:
    """Return the type of a dictionary's values, or the type itself."""
    if not fitted.startswith("dictionary<values="):
        return fitted
    return _values(fitted.removeprefix("dictionary<values=").rsplit(", indices=", 1)[0])
