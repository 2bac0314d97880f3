"""Statements that change or show the catalog."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from penstock import storage
from penstock.local.athena import show
from penstock.local.athena.catalog import Catalog, Column, Partition, Table, view_text
from penstock.local.athena.createtable import columns, create_external
from penstock.local.athena.cursor import Cursor
from penstock.local.athena.errors import QueryError, unsupported
from penstock.local.athena.session import HIVE, Listing, Session
from penstock.local.athena.types import ColumnType
from penstock.local.wire import AwsError

__all__ = ["create_view", "run"]

# Members of a table that a TableInput has too.
INPUT = (
    "Name",
    "Description",
    "Owner",
    "Retention",
    "StorageDescriptor",
    "PartitionKeys",
    "TableType",
    "Parameters",
)


def run(sql: str, catalog: Catalog, database: str) -> Listing:
    """Run a statement of DDL.

    Raises:
        QueryError: It cannot be run.
    """
    session = Session(catalog=catalog, database=database, cursor=Cursor(sql, hive=True))
    handler = next(
        (handler for words, handler in HANDLERS.items() if session.cursor.take(*words)), None
    )
    if handler is None:
        raise session.cursor.wrong("a statement of DDL")
    try:
        return handler(session)
    except AwsError as error:
        raise QueryError(f"FAILED: {error.code}: {error.message}") from error


def _exists(what: str) -> QueryError:
    return QueryError(
        f"FAILED: Execution Error, return code 1 from {HIVE}. AlreadyExistsException(message:{what} "
        "already exists)"
    )


def _create_database(session: Session) -> Listing:
    cursor = session.cursor
    lenient = cursor.take("IF", "NOT", "EXISTS")
    name = cursor.name()
    more: dict[str, Any] = {}
    while not cursor.ended:
        if cursor.take("COMMENT"):
            more["Description"] = cursor.string()
        elif cursor.take("LOCATION"):
            more["LocationUri"] = cursor.string()
        else:
            cursor.expect("WITH", "DBPROPERTIES")
            more["Parameters"] = cursor.properties()
    if session.catalog.database(name) is not None:
        if lenient:
            return Listing()
        raise _exists(f"Database {name}")
    session.catalog.create_database(name, **more)
    return Listing()


def _drop_database(session: Session) -> Listing:
    cursor = session.cursor
    lenient = cursor.take("IF", "EXISTS")
    name = cursor.name()
    cascade = cursor.take("CASCADE") or not (cursor.take("RESTRICT") or True)
    cursor.end()
    if session.catalog.database(name) is None:
        if lenient:
            return Listing()
        raise QueryError(
            f"FAILED: SemanticException [Error 10072]: Database does not exist: {name}"
        )
    if not cascade and session.catalog.tables(name):
        raise QueryError(
            f"FAILED: Execution Error, return code 1 from {HIVE}. InvalidOperationException"
            f"(message:Database {name} is not empty. One or more tables exist.)"
        )
    for table in session.catalog.tables(name):
        session.catalog.drop_table(name, table.name)
    session.catalog.drop_database(name)
    return Listing()


def _create_external(session: Session) -> Listing:
    schema, given, lenient = create_external(session.cursor, session.database)
    if session.catalog.database(schema) is None:
        raise QueryError(
            f"FAILED: SemanticException [Error 10072]: Database does not exist: {schema}"
        )
    if session.catalog.table(schema, given["Name"]) is not None:
        if lenient:
            return Listing()
        raise _exists(f"Table {given['Name']}")
    session.catalog.create_table(schema, given)
    return Listing()


def _drop(view: bool) -> Callable[[Session], Listing]:  # noqa: FBT001
    def handler(session: Session) -> Listing:
        cursor = session.cursor
        lenient = cursor.take("IF", "EXISTS")
        schema, name = cursor.table(session.database)
        cursor.end()
        found = session.catalog.table(schema, name)
        if found is None:
            if lenient:
                return Listing()
            if view:
                raise QueryError(f"VIEW_NOT_FOUND: line 1:1: View '{schema}.{name}' does not exist")
            raise QueryError(
                f"FAILED: SemanticException [Error 10001]: Table not found {schema}.{name}"
            )
        if found.is_view != view:
            other = "DROP VIEW" if found.is_view else "DROP TABLE"
            raise QueryError(f"FAILED: SemanticException: {schema}.{name}: say {other}")
        session.catalog.drop_table(schema, name)
        return Listing()

    return handler


def create_view(
    catalog: Catalog,
    place: tuple[str, str],
    sql: str,
    outputs: Sequence[tuple[str, ColumnType]],
    *,
    session: str,
    replace: bool,
) -> None:
    """Make a view of a query whose names and types are known.

    Raises:
        QueryError: A table or view has the name.
    """
    schema, name = place
    found = catalog.table(schema, name)
    if found is not None and (not found.is_view or not replace):
        kind = "View" if found.is_view else "Table"
        raise QueryError(
            f"TABLE_ALREADY_EXISTS: line 1:1: {kind} already exists: '{schema}.{name}'"
        )
    given = {
        "Name": name,
        "TableType": "VIRTUAL_VIEW",
        "Parameters": {"presto_view": "true", "comment": "Presto View"},
        "PartitionKeys": [],
        "ViewOriginalText": view_text(sql, session, [(n, t.sql()) for n, t in outputs]),
        "ViewExpandedText": "/* Presto View */",
        "StorageDescriptor": {
            "Columns": [{"Name": n, "Type": t.hive()} for n, t in outputs],
            "Location": "",
            "SerdeInfo": {},
            "NumberOfBuckets": 0,
        },
    }
    (catalog.create_table if found is None else catalog.update_table)(schema, given)


# ---------------------------------------------------------------- ALTER TABLE, MSCK


def _alter(session: Session) -> Listing:
    table, cursor = session.table(), session.cursor
    if cursor.take("ADD", "COLUMNS") or cursor.take("ADD", "COLUMN"):
        return _changed(session, table, [*table.columns, *columns(cursor)])
    if cursor.take("REPLACE", "COLUMNS"):
        return _changed(session, table, columns(cursor))
    if cursor.take("SET", "TBLPROPERTIES"):
        made = {**table.parameters, **cursor.properties()}
        session.catalog.update_table(table.database, {**_input(table), "Parameters": made})
        return Listing()
    if cursor.take("SET", "LOCATION"):
        storage_part = {**table.raw["StorageDescriptor"], "Location": cursor.string()}
        session.catalog.update_table(
            table.database, {**_input(table), "StorageDescriptor": storage_part}
        )
        return Listing()
    if cursor.take("ADD"):
        return _add_partitions(session, table)
    if cursor.take("DROP"):
        return _drop_partitions(session, table)
    raise unsupported(f"ALTER TABLE ... {cursor.peek()} {cursor.peek(1)}".rstrip())


def _input(table: Table) -> dict[str, Any]:
    return {name: table.raw[name] for name in INPUT if table.raw.get(name) is not None}


def _changed(session: Session, table: Table, made: Sequence[Column]) -> Listing:
    names = [column.name for column in (*made, *table.keys)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise QueryError(
            f"FAILED: Execution Error, return code 1 from {HIVE}. Duplicate column name: {twice}"
        )
    part = {**table.raw["StorageDescriptor"], "Columns": [column.glue() for column in made]}
    session.catalog.update_table(table.database, {**_input(table), "StorageDescriptor": part})
    return Listing()


def _spec(cursor: Cursor, table: Table) -> tuple[str, ...]:
    """Take ``PARTITION (a = 'x', b = 2)``; return the values in the order of the keys."""
    cursor.expect("PARTITION")
    given = {name.lower(): str(value) for name, value in cursor.properties().items()}
    names = [key.name for key in table.keys]
    if sorted(given) != sorted(names):
        raise QueryError(
            f"FAILED: SemanticException Partition spec {given} does not match the partition "
            f"columns of {table.database}.{table.name}: {names}"
        )
    return tuple(given[name] for name in names)


def _add_partitions(session: Session, table: Table) -> Listing:
    cursor = session.cursor
    lenient = cursor.take("IF", "NOT", "EXISTS")
    there = {each.values for each in session.catalog.partitions(table)}
    made: list[Partition] = []
    while not cursor.ended:
        values = _spec(cursor, table)
        location = cursor.string() if cursor.take("LOCATION") else _folder(table, values)
        if values in there and not lenient:
            raise _exists(f"Partition {list(values)}")
        if values not in there:
            made.append(Partition(values=values, location=location))
            there.add(values)
    session.catalog.add_partitions(table, made)
    return Listing()


def _folder(table: Table, values: Sequence[str]) -> str:
    parts = [f"{key.name}={value}" for key, value in zip(table.keys, values, strict=True)]
    return storage.join(table.location, *parts) + "/"


def _drop_partitions(session: Session, table: Table) -> Listing:
    cursor = session.cursor
    lenient = cursor.take("IF", "EXISTS")
    there = {each.values for each in session.catalog.partitions(table)}
    while not cursor.ended:
        values = _spec(cursor, table)
        cursor.take(",")
        if values in there:
            session.catalog.drop_partition(table, values)
        elif not lenient:
            raise QueryError(
                f"FAILED: SemanticException [Error 10006]: Partition not found {list(values)}"
            )
    return Listing()


def _msck(session: Session) -> Listing:
    """Add the partitions whose folders stand below the table, ``a=x/b=y/``."""
    table = session.table()
    session.cursor.end()
    if not table.keys:
        raise QueryError(
            f"FAILED: Execution Error, return code 1 from {HIVE}. Table {table.name} is not "
            "partitioned"
        )
    there = {each.values for each in session.catalog.partitions(table)}
    found: dict[tuple[str, ...], str] = {}
    base = table.location.rstrip("/") + "/"
    for file in storage.glob_files(base):
        parts = file.uri.removeprefix(base).split("/")[: len(table.keys)]
        pairs = [part.partition("=") for part in parts]
        names = [name.lower() for name, _, _ in pairs]
        if names == [key.name for key in table.keys] and all(sign for _, sign, _ in pairs):
            values = tuple(unquote(value) for _, _, value in pairs)
            found[values] = storage.join(base, *parts) + "/"
    new = [
        Partition(values=values, location=location)
        for values, location in found.items()
        if values not in there
    ]
    session.catalog.add_partitions(table, new)

    def named(values: Sequence[str]) -> str:
        return "/".join(f"{k.name}={v}" for k, v in zip(table.keys, values, strict=True))

    lines = []
    if new:
        listed = "\t".join(f"{table.name}:{named(each.values)}" for each in new)
        lines.append(f"Partitions not in metastore:\t{listed}")
        lines += [
            f"Repair: Added partition to metastore {table.name}:{named(each.values)}"
            for each in new
        ]
    return Listing(lines=lines, names=("result",))


HANDLERS: Mapping[tuple[str, ...], Callable[[Session], Listing]] = {
    ("CREATE", "DATABASE"): _create_database,
    ("CREATE", "SCHEMA"): _create_database,
    ("CREATE", "EXTERNAL", "TABLE"): _create_external,
    ("DROP", "DATABASE"): _drop_database,
    ("DROP", "SCHEMA"): _drop_database,
    ("DROP", "TABLE"): _drop(view=False),
    ("DROP", "VIEW"): _drop(view=True),
    ("ALTER", "TABLE"): _alter,
    ("MSCK", "REPAIR", "TABLE"): _msck,
    **show.HANDLERS,
}
