"""JSON: objects one after another, or one array; nested structs and arrays; types merged over records.

An int that fits 32 bits is int, 64 bits bigint, else string; a number with a point is double. A file
whose first value does not end within 1 MiB is read further, up to 10 MiB. Names of columns are written
in lower case; those inside structs stay.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.errors import InputError
from penstock.local.crawler.csvformat import decoded, timely
from penstock.local.crawler.found import Finding, Kind
from penstock.local.crawler.hive import NULL, Array, Column, Struct, Type, merge_all
from penstock.local.crawler.samples import MIB, Sample

__all__ = ["JsonPath", "classify", "value_type"]

MAX_BYTES = 10 * MIB
MAX_DEPTH = 50
BLANKS = " \t\r\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonPath:
    """Where the records of a file are: ``$``, ``$.a.b`` or ``$.a[*]``.

    Attributes:
        steps: Names to follow from the top.
        items: Whether the records are the items of the array that stands there.
    """

    steps: tuple[str, ...] = ()
    items: bool = False

    @classmethod
    def parse(cls, path: str) -> JsonPath:
        """Return a path.

        Raises:
            InputError: It uses more of the language than names and a final ``[*]``.
        """
        items = path.endswith("[*]")
        body = path.removesuffix("[*]")
        steps = tuple(body.removeprefix("$").removeprefix(".").split(".")) if body != "$" else ()
        bad = not body.startswith("$") or any(
            not step or any(char in step for char in "[]*?()'\"@") for step in steps
        )
        if bad:
            raise InputError(
                f"JsonPath {path!r}: expected names and at most a final [*], like '$', '$.a.b', "
                "'$.records[*]'\n  more of the language is not in the local plane"
            )
        return cls(steps=steps, items=items)


def classify(
    sample: Sample, path: JsonPath | None = None, *, more: Callable[[int], Sample] | None = None
) -> Finding | None:
    """Return what a file is as JSON; None when it is none.

    Args:
        sample: Its beginning.
        path: Of a custom classifier; None: the built-in's rule.
        more: Returns a longer beginning, in bytes; None: what there is must do.
    """
    while True:
        content = decoded(sample)
        if content is None or content.lstrip(BLANKS)[:1] not in ("{", "["):
            return None
        try:
            values, read_chars = _values(content, sample.whole, path)
        except (ValueError, RecursionError):  # some thousand brackets, one in the other
            return None
        if values or sample.whole or more is None or len(sample.data) >= MAX_BYTES:
            break
        sample = more(len(sample.data) + MIB)
    if not values or not all(isinstance(value, dict | list) for value in values):
        return None
    read_bytes = len(content[:read_chars].encode())
    return Finding(
        kind=Kind(classification="json", compression=sample.compression, serde="json"),
        columns=_columns(values),
        records=len(values),
        record_bytes=max(1, read_bytes),
        whole=sample.whole,
        expansion=sample.expansion,
        notes=tuple(_notes(values)),
    )


def _notes(values: Sequence[Any]) -> Iterator[str]:
    """Yield what a person should know: columns of text that are dates or times."""
    texts: dict[str, list[str]] = {}
    for value in values:
        for name, item in value.items() if isinstance(value, dict) else ():
            if isinstance(item, str):
                texts.setdefault(name, []).append(item)
    yield from (f"time: {name.lower()}" for name, found in texts.items() if timely(found))


def _columns(values: Sequence[Any]) -> tuple[Column, ...]:
    if isinstance(values[0], list):  # one array: the built-in classifier makes it one column
        type_ = merge_all(map(value_type, values))
        return (Column(name="array", type=type_, original="array"),)
    merged = merge_all(map(value_type, values))
    if not isinstance(merged, Struct):
        return ()
    return tuple(
        Column(name=name.lower(), type=type_, original=name) for name, type_ in merged.fields
    )


def value_type(value: Any, depth: int = 0) -> Type:
    """Return the type of a value as JSON has it; what lies deeper than 50 levels is text.

    >>> str(value_type({"a": [1, 2.5], "b": {"c": None}}))
    'struct<a:array<double>,b:struct<c:string>>'
    """
    if value is None:
        return NULL
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        small, fits = -(1 << 31) <= value < 1 << 31, -(1 << 63) <= value < 1 << 63
        return "int" if small else "bigint" if fits else "string"
    if isinstance(value, float):
        return "double"
    if isinstance(value, list | dict) and depth >= MAX_DEPTH:
        return "string"
    if isinstance(value, list):
        return Array(merge_all(value_type(item, depth + 1) for item in value))
    if isinstance(value, dict):
        return Struct(tuple((name, value_type(item, depth + 1)) for name, item in value.items()))
    return "string"


def _values(content: str, whole: bool, path: JsonPath | None) -> tuple[list[Any], int]:  # noqa: FBT001
    """Return the records that the text holds in full, and how far they reach.

    Raises:
        ValueError: It is no JSON, or the path leads nowhere.
    """
    top_array = content.lstrip(BLANKS).startswith("[")
    if top_array and (path is None or (path.items and not path.steps)):
        items, end = _series(content, content.index("[") + 1, whole, separated=True)
        return ([items] if path is None else items) if items or whole else [], end
    values, end = _series(content, 0, whole, separated=False)
    if path is None:
        return values, end
    return [record for value in values for record in _followed(value, path)], end


def _series(content: str, at: int, whole: bool, *, separated: bool) -> tuple[list[Any], int]:  # noqa: FBT001
    """Return values one after another, of an array when ``separated``; one that is cut is left out."""
    decoder = json.JSONDecoder()
    values: list[Any] = []
    while True:
        at = _past_blanks(content, at)
        if separated and content[at : at + 1] == "]":
            return values, at + 1
        if at >= len(content):
            if whole and separated:
                raise ValueError("an array does not end")
            return values, at
        try:
            value, end = decoder.raw_decode(content, at)
        except ValueError:
            if whole:
                raise
            return values, at
        if end == len(content) and not whole and not isinstance(value, dict | list):
            return values, at  # a number may go on beyond the sample
        values.append(value)
        at = _past_blanks(content, end)
        if separated and content[at : at + 1] == ",":
            at += 1


def _past_blanks(content: str, at: int) -> int:
    while at < len(content) and content[at] in BLANKS:
        at += 1
    return at


def _followed(value: Any, path: JsonPath) -> list[Any]:
    for step in path.steps:
        if not isinstance(value, dict) or step not in value:
            raise ValueError(f"it has no {step!r}")
        value = value[step]
    if not path.items:
        return [value]
    if not isinstance(value, list):
        raise ValueError("it has no array there")  # noqa: TRY004  of the data
    return value
