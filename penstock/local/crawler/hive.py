"""Hive types: primitives as strings, and structs, arrays and maps of them; how two become one.

null < any type              what a cell without a value has; written as string
tinyint < smallint < int < bigint < double,  float < double
decimal(p,s) of different widths: the one that holds both
struct + struct: their fields, merged;  array + array, map + map: of the merged items
anything else: string
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

__all__ = [
    "NULL",
    "Array",
    "Column",
    "Map",
    "Struct",
    "Type",
    "compatible",
    "merge",
    "merge_all",
    "merged_columns",
    "similarity",
    "text",
]

NULL = "null"
INTEGERS = ("tinyint", "smallint", "int", "bigint")
MAX_DECIMAL_DIGITS = 38


@dataclass(frozen=True, slots=True)
class Array:
    """A list of items of one type."""

    item: Type

    def __str__(self) -> str:
        """Return it as Hive writes it."""
        return f"array<{text(self.item)}>"


@dataclass(frozen=True, slots=True)
class Map:
    """Values by keys."""

    key: Type
    value: Type

    def __str__(self) -> str:
        """Return it as Hive writes it."""
        return f"map<{text(self.key)},{text(self.value)}>"


@dataclass(frozen=True, slots=True)
class Struct:
    """Fields by name, in order."""

    fields: tuple[tuple[str, Type], ...]

    def __str__(self) -> str:
        """Return it as Hive writes it."""
        return f"struct<{','.join(f'{name}:{text(each)}' for name, each in self.fields)}>"


Type = str | Array | Map | Struct


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        name: As the catalog has it, lower case.
        type: Of its values.
        original: Its name in the file.
    """

    name: str
    type: Type
    original: str = ""


def text(type_: Type) -> str:
    """Return a type as Hive writes it; that of no value at all is a string."""
    return "string" if type_ == NULL else str(type_)


def merge(a: Type, b: Type) -> Type:
    """Return the narrowest type that holds values of both; string when there is none.

    >>> merge("int", "double")
    'double'
    """
    if a == b or b == NULL:
        return a
    if a == NULL:
        return b
    if isinstance(a, Struct) and isinstance(b, Struct):
        return _merged_structs(a, b)
    if isinstance(a, Array) and isinstance(b, Array):
        return Array(merge(a.item, b.item))
    if isinstance(a, Map) and isinstance(b, Map):
        return Map(merge(a.key, b.key), merge(a.value, b.value))
    if isinstance(a, str) and isinstance(b, str):
        return _merged_primitives(a, b)
    return "string"


def merge_all(types: Iterable[Type]) -> Type:
    """Return the narrowest type of all; that of nothing is null."""
    merged: Type = NULL
    for each in types:
        merged = merge(merged, each)
    return merged


def _merged_structs(a: Struct, b: Struct) -> Struct:
    fields: dict[str, Type] = dict(a.fields)
    for name, type_ in b.fields:
        fields[name] = merge(fields[name], type_) if name in fields else type_
    return Struct(tuple(fields.items()))


def _merged_primitives(a: str, b: str) -> str:
    if a in INTEGERS and b in INTEGERS:
        return max(a, b, key=INTEGERS.index)
    if {a, b} <= {*INTEGERS, "float", "double"}:
        return "double"
    decimals = [re.fullmatch(r"decimal\((\d+),(\d+)\)", each) for each in (a, b)]
    if all(decimals):
        widths = [(int(each[1]) - int(each[2]), int(each[2])) for each in decimals if each]
        whole, scale = (max(side) for side in zip(*widths, strict=True))
        if whole + scale <= MAX_DECIMAL_DIGITS:
            return f"decimal({whole + scale},{scale})"
    return "string"


def compatible(a: Type, b: Type) -> bool:
    """Return whether one column can hold both without becoming text.

    >>> compatible("int", "double"), compatible("int", "string")
    (True, False)
    """
    return a == b or merge(a, b) != "string"


def similarity(a: Sequence[Column], b: Sequence[Column]) -> float:
    """Return the share, 0 to 1, of all column names that both have with compatible types.

    Glue says that schemas must be similar and not how it measures it; this is our measure. Two tables
    without columns are alike.
    """
    left: Mapping[str, Type] = {column.name: column.type for column in a}
    right: Mapping[str, Type] = {column.name: column.type for column in b}
    names = left.keys() | right.keys()
    if not names:
        return 1.0
    shared = sum(compatible(left[name], right[name]) for name in left.keys() & right.keys())
    return shared / len(names)


def merged_columns(schemas: Iterable[Sequence[Column]]) -> tuple[Column, ...]:
    """Return the columns of all schemas in order of their first appearance, with merged types."""
    return reduce(_merged_two, (tuple(schema) for schema in schemas), ())


def _merged_two(a: tuple[Column, ...], b: tuple[Column, ...]) -> tuple[Column, ...]:
    if not a or a == b:
        return b or a
    types = {column.name: column.type for column in b}
    kept = [
        Column(
            name=column.name,
            type=merge(column.type, types.get(column.name, NULL)),
            original=column.original,
        )
        for column in a
    ]
    known = {column.name for column in a}
    return (*kept, *(column for column in b if column.name not in known))


def parse(written: str) -> Type:
    """Return a type that Hive writes; what is no struct, array or map stays as it is.

    >>> parse("array<struct<a:int,b:map<string,double>>>") == Array(
    ...     Struct((("a", "int"), ("b", Map("string", "double"))))
    ... )
    True
    """
    kind, bracket, rest = written.partition("<")
    if not bracket or not rest.endswith(">"):
        return written
    parts = _top_level(rest[:-1])
    if kind == "array":
        return Array(parse(rest[:-1]))
    if kind == "map" and len(parts) == 2:
        return Map(parse(parts[0]), parse(parts[1]))
    if kind == "struct" and all(":" in part for part in parts):
        pairs = (part.partition(":") for part in parts)
        return Struct(tuple((name, parse(type_)) for name, _, type_ in pairs))
    return written


def _top_level(inner: str) -> list[str]:
    """Cut at the commas that stand in no brackets."""
    parts, depth, start = [], 0, 0
    for place, char in enumerate(inner):
        depth += (char in "<(") - (char in ">)")
        if char == "," and depth == 0:
            parts.append(inner[start:place])
            start = place + 1
    return [*parts, inner[start:]]
