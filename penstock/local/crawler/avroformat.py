"""Avro: the schema in the head of a container file, and the records that the heads of its blocks count.

    magic     4 bytes     "Obj" 1
    metadata  map         long count, then count x (string key, bytes value); ... until a count of 0
    sync      16 bytes
    blocks    long records, long bytes, the bytes, sync; ... to the end

A long is a zigzag varint; a string or bytes value a long length and the bytes. A negative count is
followed by the size of its items in bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from penstock.errors import DataError
from penstock.local.crawler.found import Finding, Kind
from penstock.local.crawler.hive import NULL, Array, Column, Map, Struct, Type

__all__ = ["avro_type", "classify"]

MAGIC = b"Obj\x01"
SYNC_BYTES = 16
MAX_METADATA_BYTES = 1 << 20
# Heads of so many blocks are read; the records of further ones are estimated.
MAX_BLOCKS = 16

PRIMITIVES = {
    "null": NULL,
    "boolean": "boolean",
    "int": "int",
    "long": "bigint",
    "float": "float",
    "double": "double",
    "bytes": "binary",
    "string": "string",
}
LOGICAL = {
    "date": "date",
    "timestamp-millis": "timestamp",
    "timestamp-micros": "timestamp",
}


def classify(stream: Any, size_bytes: int) -> Finding | None:
    """Return what a file is as Avro; None when it is none. Reads its head and those of 16 blocks.

    Raises:
        DataError: It begins as Avro, and its head cannot be read.
    """
    stream.seek(0)
    if bytes(stream.read(len(MAGIC))) != MAGIC:
        return None
    try:
        schema = json.loads(_metadata(stream)["avro.schema"])
        stream.read(SYNC_BYTES)
        start = stream.tell()
        records, end = _blocks(stream, size_bytes)
        row = avro_type(schema, {})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"it begins like avro, and cannot be read as such: {error!r}") from None
    fields = row.fields if isinstance(row, Struct) else (("value", row),)
    literal = json.dumps(schema, separators=(",", ":"))
    return Finding(
        kind=Kind(
            classification="avro",
            serde="avro",
            parameters=(("avro.schema.literal", literal),),
            serde_parameters=(("avro.schema.literal", literal),),
        ),
        columns=tuple(
            Column(name=name.lower(), type=type_, original=name) for name, type_ in fields
        ),
        records=records,
        record_bytes=end - start,
        whole=end >= size_bytes,
    )


def _metadata(stream: Any) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    while count := _long(stream):
        if count < 0:
            _long(stream)
        for _ in range(abs(count)):
            key = _bytes(stream).decode()
            found[key] = _bytes(stream)
    return found


def _blocks(stream: Any, size_bytes: int) -> tuple[int, int]:
    """Return the records of the first blocks, and where those end."""
    records, end = 0, stream.tell()
    for _ in range(MAX_BLOCKS):
        if end >= size_bytes:
            break
        count, length = _long(stream), _long(stream)
        if count < 0 or length < 0:
            raise ValueError("a block has a negative length")
        records += count
        end = stream.tell() + length + SYNC_BYTES
        stream.seek(end)
    return records, end


def _long(stream: Any) -> int:
    value = shift = 0
    while True:
        byte = bytes(stream.read(1))
        if not byte or shift > 63:
            raise ValueError("it ends inside a number")
        value |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            return (value >> 1) ^ -(value & 1)


def _bytes(stream: Any) -> bytes:
    length = _long(stream)
    if not 0 <= length <= MAX_METADATA_BYTES:
        raise ValueError(f"its head has a value of {length} bytes")
    data = bytes(stream.read(length))
    if len(data) < length:
        raise ValueError("it ends inside its head")
    return data


def avro_type(schema: Any, named: dict[str, Type]) -> Type:
    """Return the Hive type of a schema; ``named`` holds the named types met so far, and gets new ones.

    >>> str(avro_type({"type": "array", "items": ["null", "long"]}, {}))
    'array<bigint>'
    """
    if isinstance(schema, str):
        return named.get(schema) or PRIMITIVES.get(schema, "string")
    if isinstance(schema, list):
        kept = [each for each in schema if each != "null"]
        return avro_type(kept[0], named) if len(kept) == 1 else ("string" if kept else NULL)
    made = _complex(schema, named)
    if "name" in schema:
        named[schema["name"]] = made
    return made


def _complex(schema: Mapping[str, Any], named: dict[str, Type]) -> Type:
    kind, logical = schema["type"], schema.get("logicalType")
    if logical == "decimal":
        return f"decimal({schema['precision']},{schema.get('scale', 0)})"
    if logical in LOGICAL:
        return LOGICAL[logical]
    if kind == "record":
        fields = [(each["name"], avro_type(each["type"], named)) for each in schema["fields"]]
        return Struct(tuple(fields))
    if kind == "array":
        return Array(avro_type(schema["items"], named))
    if kind == "map":
        return Map("string", avro_type(schema["values"], named))
    if kind in ("enum", "fixed"):
        return "string" if kind == "enum" else "binary"
    return avro_type(kind, named)
