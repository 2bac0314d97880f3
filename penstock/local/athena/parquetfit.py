"""Files with a schema of their own against the types of the catalog: which agree, and how others are made to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.types as pt

from penstock.local.athena.catalog import Column
from penstock.local.athena.errors import QueryError
from penstock.local.athena.formats import Format

__all__ = ["fits", "fitted_batches", "read_format"]

WIDTHS = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}


def read_format(given: Format) -> Any:
    """Return Arrow's reader of a columnar format; old timestamps in microseconds, as far as years go."""
    if given.kind == "orc":
        return ds.OrcFileFormat()
    return ds.ParquetFileFormat(
        read_options=ds.ParquetReadOptions(coerce_int96_timestamp_unit="us")
    )


def fits(found: pa.Schema, columns: Sequence[tuple[int, Column]], uri: str, given: Format) -> bool:
    """Return whether a file has the columns just as the catalog says, or lacks them.

    Raises:
        QueryError: A column is of a type that cannot be read as the catalog's.
    """
    same = True
    for position, column in columns:
        at = _place(found, column, position, given)
        if at is None:
            same = same and not given.by_position
            continue
        field = found.field(at)
        if not _readable(field.type, column.type.arrow()):
            raise _mismatch(field, column, uri)
        same = same and field.name == column.name and field.type.equals(column.type.arrow())
    return same


def _place(found: pa.Schema, column: Column, position: int, given: Format) -> int | None:
    """Return which field of a file a column is: by name, or by the place it has in the table."""
    if given.by_position and all(name.startswith("_col") for name in found.names):
        return position if position < len(found) else None
    if column.name in found.names:
        return int(found.get_field_index(column.name))
    folded = [name.lower() for name in found.names]
    return folded.index(column.name) if column.name in folded else None


def fitted_batches(
    fragment: Any,
    columns: Sequence[tuple[int, Column]],
    schema: pa.Schema,
    extra: Mapping[str, Any],
    given: Format,
) -> Iterator[pa.RecordBatch]:
    """Yield a file's batches with names and types of the catalog, missing columns null.

    Args:
        fragment: Of a dataset: one file.
        columns: Wanted ones, with their places in the table.
        schema: Of the batches: ``columns``, and the names in ``extra``.
        extra: Constants, as values of partition keys.
        given: The table's format.

    Raises:
        QueryError: A value does not fit the catalog's type.
    """
    found = fragment.physical_schema
    places = {column.name: _place(found, column, position, given) for position, column in columns}
    names = [found.field(at).name for at in places.values() if at is not None]
    for batch in fragment.to_batches(schema=found, columns=names):
        made = []
        for field in schema:
            at = places.get(field.name)
            if field.name in extra or at is None:
                value = pa.scalar(extra.get(field.name), field.type)
                made.append(pa.repeat(value, batch.num_rows))
                continue
            array = batch.column(found.field(at).name)
            try:
                made.append(_cast(array, field.type))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise QueryError(
                    f"HIVE_BAD_DATA: Field {field.name} in file s3://{fragment.path}: {error}"
                ) from error
        yield pa.RecordBatch.from_arrays(made, schema=schema)


def _cast(array: pa.Array, target: pa.DataType) -> pa.Array:
    if pt.is_timestamp(array.type) and pt.is_timestamp(target):
        return array.cast(target, safe=False)  # nanoseconds are cut, as Athena cuts them
    if pt.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.cast(target)


def _readable(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Return whether Athena reads a file's type as a column's."""
    if pt.is_dictionary(found):
        found = found.value_type
    if found.equals(wanted) or pt.is_null(found):
        return True
    if pt.is_integer(wanted):
        return bool(pt.is_integer(found)) and bool(found.bit_width <= wanted.bit_width)
    if pt.is_floating(wanted):
        return bool(pt.is_floating(found)) and bool(found.bit_width <= wanted.bit_width)
    if pt.is_decimal(wanted):
        return bool(pt.is_decimal(found) or pt.is_integer(found))
    if pt.is_string(wanted) or pt.is_binary(wanted):
        return _is_bytes(found)
    if pt.is_timestamp(wanted):
        return bool(pt.is_timestamp(found))
    if pt.is_map(wanted):
        return bool(pt.is_map(found)) and _readable(found.item_type, wanted.item_type)
    if pt.is_list(wanted):
        listed = pt.is_list(found) or pt.is_large_list(found)
        return listed and _readable(found.value_type, wanted.value_type)
    if pt.is_struct(wanted) and pt.is_struct(found):
        shared = [(found.field(n).type, wanted.field(n).type) for n in _names(found, wanted)]
        return all(_readable(one, other) for one, other in shared)
    return False


def _names(found: pa.DataType, wanted: pa.DataType) -> list[str]:
    present = {field.name for field in found}
    return [field.name for field in wanted if field.name in present]


def _is_bytes(found: pa.DataType) -> bool:
    tests = (pt.is_string, pt.is_large_string, pt.is_binary, pt.is_large_binary)
    return any(test(found) for test in (*tests, pt.is_fixed_size_binary))


def _mismatch(field: pa.Field, column: Column, uri: str) -> QueryError:
    return QueryError(
        f"HIVE_BAD_DATA: Field {field.name}'s type {_physical(field.type)} in parquet file {uri} "
        f"is incompatible with type {column.type.sql()} defined in table schema",
        kind=1100,
    )


def _physical(found: pa.DataType) -> str:
    """Return what Parquet calls the type in which a file keeps values."""
    if pt.is_integer(found):
        return "INT64" if found.bit_width == 64 else "INT32"
    if pt.is_date32(found):
        return "INT32"
    if pt.is_timestamp(found) or pt.is_time(found):
        return "INT64"
    if _is_bytes(found):
        return "BINARY"
    names = {"float": "FLOAT", "double": "DOUBLE", "bool": "BOOLEAN"}
    return names.get(str(found), "group" if pt.is_nested(found) else str(found).upper())
