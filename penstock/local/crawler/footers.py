"""Parquet and ORC: the schema that the file's own footer declares, and its exact number of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from penstock.errors import DataError
from penstock.local.crawler.found import Finding, Kind
from penstock.local.crawler.hive import NULL, Array, Column, Map, Struct, Type

__all__ = ["arrow_type", "classify_orc", "classify_parquet"]

PARQUET_MAGIC = b"PAR1"
ORC_MAGIC = b"ORC"

# Unsigned integers take the next wider type, as Hive has none.
PRIMITIVES: Mapping[str, str] = {
    "bool": "boolean",
    "int8": "tinyint",
    "int16": "smallint",
    "int32": "int",
    "int64": "bigint",
    "uint8": "smallint",
    "uint16": "int",
    "uint32": "bigint",
    "uint64": "decimal(20,0)",
    "halffloat": "float",
    "float": "float",
    "double": "double",
    "string": "string",
    "large_string": "string",
    "string_view": "string",
    "binary": "binary",
    "large_binary": "binary",
    "binary_view": "binary",
    "date32[day]": "date",
    "date64[ms]": "date",
    "null": NULL,
}


def classify_parquet(stream: Any, size_bytes: int) -> Finding | None:
    """Return what a file is as Parquet; None when it is none. Reads the footer.

    Raises:
        DataError: It begins as Parquet, and its footer cannot be read.
    """
    from pyarrow import parquet

    def read() -> tuple[Any, int]:
        opened = parquet.ParquetFile(stream)
        return opened.schema_arrow, opened.metadata.num_rows

    return _classified(stream, size_bytes, "parquet", PARQUET_MAGIC, read)


def classify_orc(stream: Any, size_bytes: int) -> Finding | None:
    """Return what a file is as ORC; None when it is none. Reads the footer.

    Raises:
        DataError: It begins as ORC, and its footer cannot be read.
    """
    from pyarrow import orc

    def read() -> tuple[Any, int]:
        opened = orc.ORCFile(stream)
        return opened.schema, opened.nrows

    return _classified(stream, size_bytes, "orc", ORC_MAGIC, read)


def _classified(
    stream: Any, size_bytes: int, name: str, magic: bytes, read: Callable[[], tuple[Any, int]]
) -> Finding | None:
    stream.seek(0)
    if bytes(stream.read(len(magic))) != magic:
        return None
    stream.seek(0)
    try:
        schema, rows = read()
        columns = tuple(
            Column(name=field.name.lower(), type=arrow_type(field.type), original=field.name)
            for field in schema
        )
    except (
        OSError,
        ValueError,
    ) as error:  # ArrowInvalid and a name that is no UTF-8 are ValueErrors
        first = str(error).splitlines()[0]
        raise DataError(f"it begins like {name}, and cannot be read as such: {first}") from None
    return Finding(
        kind=Kind(classification=name, serde=name),
        columns=columns,
        records=int(rows),
        record_bytes=size_bytes,
    )


def arrow_type(type_: Any) -> Type:
    """Return the Hive type that a type of pyarrow is read as.

    Times of day are read as the integers that they are stored as.
    """
    from pyarrow import types

    named = PRIMITIVES.get(str(type_))
    if named is not None:
        return named
    if types.is_timestamp(type_):
        return "timestamp"
    if types.is_decimal(type_):
        return f"decimal({type_.precision},{type_.scale})"
    if types.is_time(type_):
        return "int" if types.is_time32(type_) else "bigint"
    if types.is_dictionary(type_):
        return arrow_type(type_.value_type)
    if types.is_fixed_size_binary(type_):
        return "binary"
    if types.is_map(type_):
        return Map(arrow_type(type_.key_type), arrow_type(type_.item_type))
    if types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        return Array(arrow_type(type_.value_type))
    if types.is_struct(type_):
        return Struct(tuple((each.name, arrow_type(each.type)) for each in type_))
    return "binary"
