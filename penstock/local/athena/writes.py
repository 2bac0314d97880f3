"""Statements that write: CREATE TABLE AS SELECT, INSERT INTO and UNLOAD."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from penstock import storage
from penstock.local.athena import results
from penstock.local.athena.catalog import Column, Partition, Table
from penstock.local.athena.createtable import serde_of, table_input
from penstock.local.athena.engine import Output, wrapped
from penstock.local.athena.errors import QueryError, unsupported
from penstock.local.athena.formats import format_of
from penstock.local.athena.task import Outcome, Ready, Task, in_engine, known_database
from penstock.local.athena.types import ColumnType
from penstock.local.athena.writer import Target, Written, columns_of, write

__all__ = ["ctas", "insert", "unload"]

FORMATS = {"PARQUET": "parquet", "ORC": "orc", "JSON": "json", "TEXTFILE": "delimited"}
CTAS_PROPERTIES = {
    "external_location",
    "format",
    "partitioned_by",
    "write_compression",
    "parquet_compression",
    "orc_compression",
    "field_delimiter",
}
UNLOAD_PROPERTIES = {"format", "compression", "field_delimiter", "partitioned_by"}
WIDTHS = ("tinyint", "smallint", "int", "bigint", "decimal", "float", "double")
TEXTS = ("string", "varchar", "char")


def _written(task: Task, written: Written, columns: Sequence[Mapping[str, Any]]) -> Outcome:
    manifest = f"{task.output}{task.id}-manifest.csv"
    results.write_manifest(manifest, written.files)
    storage.write_bytes(f"{task.output}{task.id}.metadata", b"")
    return Outcome(
        location=f"{task.output}{task.id}",
        columns=columns,
        manifest=manifest,
        updated=written.rows,
    )


ROWS = (ColumnType(kind="bigint").info("rows"),)


def _target(
    properties: Mapping[str, Any], location: str, keys: tuple[str, ...], *, delimiter: str
) -> Target:
    name = str(properties.get("format", "PARQUET")).upper()
    if name not in FORMATS:
        raise unsupported(f"format {name} in CTAS and UNLOAD; it has {', '.join(FORMATS)}")
    compressions = [
        str(properties[each])
        for each in ("write_compression", "compression", "parquet_compression", "orc_compression")
        if each in properties
    ]
    target = Target(
        location=location,
        kind=FORMATS[name],
        compression=compressions[0] if compressions else "",
        delimiter=str(properties.get("field_delimiter") or delimiter),
        keys=keys,
    )
    target.codec()
    return target


def _known(properties: Mapping[str, Any], names: set[str], what: str) -> None:
    for name in properties:
        if name in ("bucketed_by", "bucket_count"):
            raise unsupported(f"buckets: {name} in {what}")
        if name not in names:
            raise QueryError(
                f"INVALID_TABLE_PROPERTY: line 1:1: Catalog 'awsdatacatalog' {what} property "
                f"'{name}' does not exist",
                kind=1006,
            )


def _last(fields: Sequence[tuple[str, ColumnType]], keys: tuple[str, ...]) -> None:
    names = [name for name, _ in fields]
    missing = [key for key in keys if key not in names]
    if missing:
        raise QueryError(
            f"INVALID_TABLE_PROPERTY: Partition columns {missing} not present in schema", kind=1006
        )
    if keys and tuple(names[-len(keys) :]) != keys:
        raise QueryError(
            "HIVE_COLUMN_ORDER_MISMATCH: Partition keys must be the last columns in the table and "
            f"in the same order as the table properties: [{', '.join(keys)}]",
            kind=1006,
        )
    if keys and len(keys) == len(names):
        raise QueryError("INVALID_TABLE_PROPERTY: Table contains only partition columns")


def _folder(location: str) -> str:
    if not location.startswith("s3://"):
        raise QueryError(f"INVALID_TABLE_PROPERTY: external_location {location!r} is not in S3")
    return location.rstrip("/") + "/"


def _empty(location: str, what: str) -> None:
    if storage.glob_files(location):
        raise QueryError(
            f"HIVE_PATH_ALREADY_EXISTS: Target directory for {what} already exists: {location}. "
            "You may need to manually clean the data at location before retrying. Athena will not "
            "delete data in your account."
        )


def ctas(task: Task) -> Outcome:
    """Run CREATE TABLE AS SELECT.

    Raises:
        QueryError: It cannot be run, or failed.
    """
    statement, properties = task.statement, task.statement.properties
    _known(properties, CTAS_PROPERTIES, "table")
    place = f"{statement.database}.{statement.table}"
    known_database(task, statement.database)
    if task.catalog.table(statement.database, statement.table) is not None:
        if "if_not_exists" in statement.flags:
            return _written(task, Written(), ROWS)
        raise QueryError(
            f"TABLE_ALREADY_EXISTS: line 1:1: Destination table 'awsdatacatalog.{place}' already "
            "exists",
            kind=1006,
        )
    location = _location(task)
    keys = tuple(str(key).lower() for key in properties.get("partitioned_by", ()))
    target = _target(properties, location, keys, delimiter="\x01")
    with in_engine(task) as engine:
        task.started(engine)
        ready = Ready(task, engine)
        fields = columns_of(ready.outputs)
        _last(fields, keys)
        _empty(location, f"table '{place}'")
        written = Written()
        if "no_data" not in statement.flags:
            with engine.failing(statement.sql):
                written = write(engine, ready.sql, ready.outputs, target)
    _register(task, target, fields, written)
    return _written(task, written, ROWS)


def _location(task: Task) -> str:
    """Return where the files of a CTAS go.

    Raises:
        QueryError: The query says where, and its workgroup does not let it.
    """
    given = task.statement.properties.get("external_location")
    if given and not task.may_place:
        raise QueryError(
            "The Create Table As Select query failed because it was submitted with an "
            "'external_location' property to an Athena Workgroup that enforces a centralized output "
            "location for all queries. Please remove the 'external_location' property and resubmit "
            "the query."
        )
    return _folder(given or f"{task.output}tables/{task.id}")


def _register(
    task: Task, target: Target, fields: Sequence[tuple[str, ColumnType]], written: Written
) -> None:
    """Make the table of a CTAS; the files go when that fails."""
    serde = serde_of(target.kind)
    made = [Column(name=name, type_text=kind.hive()) for name, kind in fields]
    options = {"field.delim": target.delimiter} if target.kind == "delimited" else {}
    given = table_input(
        task.statement.table,
        [column for column in made if column.name not in target.keys],
        [column for column in made if column.name in target.keys],
        target.location,
        serde.library,
        (serde.input_format, serde.output_format),
        options,
        {"transient_lastDdlTime": str(int(time.time()))},
    )
    try:
        task.catalog.create_table(task.statement.database, given)
        table = task.catalog.table(task.statement.database, task.statement.table)
        if table is not None and written.partitions:
            task.catalog.add_partitions(table, _partitions(written))
    except BaseException:
        for file in written.files:
            storage.delete(file)
        raise


def _partitions(written: Written) -> list[Partition]:
    return [
        Partition(values=values, location=location)
        for values, location in written.partitions.items()
    ]


def unload(task: Task) -> Outcome:
    """Run UNLOAD.

    Raises:
        QueryError: It cannot be run, or failed.
    """
    properties = task.statement.properties
    _known(properties, UNLOAD_PROPERTIES, "UNLOAD")
    if "format" not in properties:
        raise QueryError("INVALID_TABLE_PROPERTY: UNLOAD needs the property 'format'", kind=1006)
    location = _folder(task.statement.target)
    keys = tuple(str(key).lower() for key in properties.get("partitioned_by", ()))
    target = _target(properties, location, keys, delimiter=",")
    with in_engine(task) as engine:
        task.started(engine)
        ready = Ready(task, engine)
        _last(columns_of(ready.outputs), keys)
        _empty(location, "unload")
        with engine.failing(task.statement.sql):
            written = write(engine, ready.sql, ready.outputs, target)
    return _written(task, written, ROWS)


def insert(task: Task) -> Outcome:
    """Run INSERT INTO.

    Raises:
        QueryError: It cannot be run, or failed.
    """
    statement = task.statement
    table = task.catalog.table(statement.database, statement.table)
    if table is None:
        raise QueryError(
            f"TABLE_NOT_FOUND: line 1:1: Table 'awsdatacatalog.{statement.database}."
            f"{statement.table}' does not exist",
            kind=1006,
        )
    target = _insert_target(table)
    with in_engine(task) as engine:
        task.started(engine)
        ready = Ready(task, engine)
        sql, outputs = _fitted(ready, table, statement.columns)
        with engine.failing(statement.sql):
            written = write(engine, sql, outputs, target)
    there = {each.values for each in task.catalog.partitions(table)} if table.keys else set()
    new = [each for each in _partitions(written) if each.values not in there]
    task.catalog.add_partitions(table, new)
    return _written(task, written, ROWS)


def _insert_target(table: Table) -> Target:
    if table.is_view:
        raise QueryError("NOT_SUPPORTED: Inserting into views is not supported", kind=1007)
    given = format_of(table)
    kinds = {"hivejson": "json"}
    if given.kind == "opencsv" or given.escape:
        raise QueryError(
            f"NOT_SUPPORTED: Inserting into tables of {table.serde} is not supported", kind=1007
        )
    named = table.options.get(f"{given.kind}.compress") or table.options.get(
        f"{given.kind}.compression", ""
    )
    compression = table.options.get("write.compression", named)
    return Target(
        location=table.location.rstrip("/") + "/",
        kind=kinds.get(given.kind, given.kind),
        compression={"UNCOMPRESSED": "NONE"}.get(compression.upper(), compression),
        delimiter=given.delimiter,
        keys=tuple(key.name for key in table.keys),
    )


def _fitted(ready: Ready, table: Table, named: tuple[str, ...]) -> tuple[str, list[Output]]:
    """Return SQL and columns of an INSERT's rows, in the order and types of the table.

    Raises:
        QueryError: They do not fit.
    """
    fields = [*table.columns, *table.keys]
    names = [column.name for column in fields]
    wanted = list(named) or names
    strange = next((name for name in wanted if name not in names), None)
    if strange is not None:
        raise QueryError(
            f"COLUMN_NOT_FOUND: line 1:1: Insert column name does not exist in target table: "
            f"{strange}",
            kind=1006,
        )
    given = dict(zip(wanted, ready.outputs, strict=False))
    types = {column.name: column.type for column in fields}
    fitting = len(wanted) == len(ready.outputs) and all(
        _coerced(each.type, types[name]) for name, each in given.items()
    )
    if not fitting:
        table_types = ", ".join(types[name].sql() for name in wanted)
        query_types = ", ".join(each.type.sql() for each in ready.outputs)
        raise QueryError(
            f"TYPE_MISMATCH: line 1:1: Insert query has mismatched column types: "
            f"Table: [{table_types}], Query: [{query_types}]",
            kind=1006,
        )
    values = [
        f"CAST({given[column.name].value if column.name in given else 'NULL'} AS "
        f"{column.type.duckdb()}) AS c{at}"
        for at, column in enumerate(fields)
    ]
    outputs = [
        Output(name=column.name, value=f"c{at}", type=column.type)
        for at, column in enumerate(fields)
    ]
    return wrapped(ready.sql, ready.outputs, ", ".join(values)), outputs


def _coerced(found: ColumnType, wanted: ColumnType) -> bool:
    """Return whether a query's type goes into a column without a cast."""
    if found.kind == "unknown" or found.kind == wanted.kind:
        return (
            len(found.parts) == len(wanted.parts)
            and all(
                _coerced(one, other) for one, other in zip(found.parts, wanted.parts, strict=True)
            )
        ) or found.kind == "unknown"
    if found.kind in TEXTS and wanted.kind in TEXTS:
        return True
    if found.kind in WIDTHS and wanted.kind in WIDTHS:
        return WIDTHS.index(found.kind) < WIDTHS.index(wanted.kind)
    return found.kind == "date" and wanted.kind == "timestamp"
