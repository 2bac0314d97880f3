"""One query from its text to its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlglot import exp

from penstock import storage
from penstock.errors import InputError, PenstockError
from penstock.local.athena import ddl, results
from penstock.local.athena.catalog import Catalog, Column, Partition, Table
from penstock.local.athena.createtable import serde_of, table_input
from penstock.local.athena.engine import Engine, Output, opened, wrapped
from penstock.local.athena.errors import QueryError, unsupported
from penstock.local.athena.formats import format_of
from penstock.local.athena.meter import Meter
from penstock.local.athena.query import Translator, parsed
from penstock.local.athena.statements import Statement
from penstock.local.athena.types import ColumnType
from penstock.local.athena.writer import Target, Written, columns_of, write

__all__ = ["Outcome", "Task", "run"]

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
WIDTHS = ("tinyint", "smallint", "int", "bigint", "decimal", "float", "double")
TEXTS = ("string", "varchar", "char")


@dataclass(kw_only=True, slots=True)
class Task:
    """What a query needs to run.

    Attributes:
        id: Of the execution.
        statement: Parsed.
        catalog: Of its region.
        database: Of its session.
        output: Folder of results, with a slash at its end.
        parameters: For the question marks, as SQL.
        meter: Counts what it reads.
        folder: For what does not fit into memory; it goes with the query.
        may_place: Whether CTAS may name its external_location.
        started: Told of the engine, so that others can interrupt it.
    """

    id: str
    statement: Statement
    catalog: Catalog
    database: str
    output: str
    parameters: Sequence[str]
    meter: Meter
    folder: Path
    may_place: bool = True
    started: Any = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a query left.

    Attributes:
        location: Of its result.
        columns: ColumnInfo.
        has_rows: Whether the result is rows under a header.
        manifest: List of the files that it made; empty for none.
        updated: Rows that it wrote.
    """

    location: str
    columns: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    has_rows: bool = False
    manifest: str = ""
    updated: int = 0


def run(task: Task) -> Outcome:
    """Run a query and write its result.

    Raises:
        QueryError: It cannot be run, or failed.
    """
    try:
        return RUNNERS[task.statement.kind](task)
    except PenstockError as error:  # S3: a bucket that is not there, say
        text = str(error).partition("\n")[0]
        raise QueryError(f"GENERIC_USER_ERROR: {text}") from error


def _ddl(task: Task) -> Outcome:
    found = ddl.run(task.statement.sql, task.catalog, task.database)
    location = f"{task.output}{task.id}.txt"
    results.write_text(location, found.lines, found.columns())
    return Outcome(location=location, columns=found.columns())


def _tree(task: Task) -> exp.Expression:
    """Return the statement's query with its parameters in place."""
    tree = parsed(task.statement.query)
    marks = list(tree.find_all(exp.Placeholder))
    marks.sort(key=lambda mark: mark.meta.get("start", 0))
    if len(marks) != len(task.parameters):
        raise QueryError(
            "INVALID_PARAMETER_USAGE: line 1:1: Incorrect number of parameters: expected "
            f"{len(marks)} but found {len(task.parameters)}",
            kind=1006,
        )
    for mark, text in zip(_in_order(tree, marks), task.parameters, strict=True):
        value = parsed(f"SELECT {text}").expressions[0]
        mark.replace(exp.Paren(this=value))
    return tree


def _in_order(tree: exp.Expression, marks: list[Any]) -> list[Any]:
    """Return question marks as they stand in the text: depth first is that order."""
    del marks
    return [node for node in tree.dfs() if isinstance(node, exp.Placeholder)]


class _Ready:
    """A translated query in an engine."""

    def __init__(self, task: Task, engine: Engine) -> None:
        translator = Translator(catalog=task.catalog, meter=task.meter, database=task.database)
        self.engine = engine
        query = translator.query(_tree(task))
        self.sql = query.sql
        with engine.failing(task.statement.sql):
            engine.load(query)
            self.outputs = engine.outputs(self.sql)


def _opened(task: Task) -> Any:
    return opened(task.folder, task.meter)


def _select(task: Task) -> Outcome:
    location = f"{task.output}{task.id}.csv"
    with _opened(task) as engine:
        task.started(engine)
        ready = _Ready(task, engine)
        with engine.failing(task.statement.sql):
            results.write_csv(engine, ready.sql, ready.outputs, location)
    columns = [each.type.info(each.name) for each in ready.outputs]
    return Outcome(location=location, columns=columns, has_rows=True)


def _view(task: Task) -> Outcome:
    with _opened(task) as engine:
        task.started(engine)
        fields = columns_of(_Ready(task, engine).outputs)
    statement = task.statement
    _database(task, statement.database)
    ddl.create_view(
        task.catalog,
        (statement.database, statement.table),
        statement.query.strip().removesuffix(";"),
        fields,
        session=task.database,
        replace="replace" in statement.flags,
    )
    location = f"{task.output}{task.id}.txt"
    results.write_text(location, (), ())
    return Outcome(location=location)


def _database(task: Task, name: str) -> None:
    if task.catalog.database(name) is None:
        raise QueryError(f"SCHEMA_NOT_FOUND: line 1:1: Schema '{name}' does not exist", kind=1006)


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


def _target(properties: Mapping[str, Any], location: str, keys: tuple[str, ...]) -> Target:
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
        delimiter=str(properties.get("field_delimiter") or ("\x01", ",")["to" in properties]),
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


def _ctas(task: Task) -> Outcome:
    statement, properties = task.statement, task.statement.properties
    _known(properties, CTAS_PROPERTIES, "table")
    place = f"{statement.database}.{statement.table}"
    _database(task, statement.database)
    if task.catalog.table(statement.database, statement.table) is not None:
        if "if_not_exists" in statement.flags:
            return _written(task, Written(), ROWS)
        raise QueryError(
            f"TABLE_ALREADY_EXISTS: line 1:1: Destination table 'awsdatacatalog.{place}' already "
            "exists",
            kind=1006,
        )
    given = properties.get("external_location")
    if given and not task.may_place:
        raise QueryError(
            "The Create Table As Select query failed because it was submitted with an "
            "'external_location' property to an Athena Workgroup that enforces a centralized output "
            "location for all queries. Please remove the 'external_location' property and resubmit "
            "the query."
        )
    location = _folder(given or f"{task.output}tables/{task.id}")
    keys = tuple(str(key).lower() for key in properties.get("partitioned_by", ()))
    target = _target(properties, location, keys)
    with _opened(task) as engine:
        task.started(engine)
        ready = _Ready(task, engine)
        fields = columns_of(ready.outputs)
        _last(fields, keys)
        _empty(location, f"table '{place}'")
        written = Written()
        if "no_data" not in statement.flags:
            with engine.failing(statement.sql):
                written = write(engine, ready.sql, ready.outputs, target)
    _register(task, target, fields, written)
    return _written(task, written, ROWS)


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
        {"transient_lastDdlTime": "0"},
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


def _unload(task: Task) -> Outcome:
    properties = {**task.statement.properties, "to": True}
    names = {
        "format",
        "compression",
        "compression_level",
        "field_delimiter",
        "partitioned_by",
        "to",
    }
    _known(properties, names, "UNLOAD")
    if "format" not in properties:
        raise QueryError("INVALID_TABLE_PROPERTY: UNLOAD needs the property 'format'", kind=1006)
    location = _folder(task.statement.target)
    keys = tuple(str(key).lower() for key in properties.get("partitioned_by", ()))
    target = _target(properties, location, keys)
    with _opened(task) as engine:
        task.started(engine)
        ready = _Ready(task, engine)
        _last(columns_of(ready.outputs), keys)
        _empty(location, "unload")
        with engine.failing(task.statement.sql):
            written = write(engine, ready.sql, ready.outputs, target)
    return _written(task, written, ROWS)


def _insert(task: Task) -> Outcome:
    statement = task.statement
    table = task.catalog.table(statement.database, statement.table)
    if table is None:
        raise QueryError(
            f"TABLE_NOT_FOUND: line 1:1: Table 'awsdatacatalog.{statement.database}."
            f"{statement.table}' does not exist",
            kind=1006,
        )
    target = _insert_target(table)
    with _opened(task) as engine:
        task.started(engine)
        ready = _Ready(task, engine)
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


def _fitted(ready: _Ready, table: Table, named: tuple[str, ...]) -> tuple[str, list[Output]]:
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
            or found.kind == "unknown"
        )
    if found.kind in TEXTS and wanted.kind in TEXTS:
        return True
    if found.kind in WIDTHS and wanted.kind in WIDTHS:
        return WIDTHS.index(found.kind) < WIDTHS.index(wanted.kind)
    return found.kind == "date" and wanted.kind == "timestamp"


def _refused(task: Task) -> Outcome:
    raise InputError(f"{task.statement.kind} is no statement that runs by itself")


RUNNERS = {
    "select": _select,
    "ctas": _ctas,
    "insert": _insert,
    "unload": _unload,
    "view": _view,
    "ddl": _ddl,
    "prepare": _refused,
    "execute": _refused,
}
