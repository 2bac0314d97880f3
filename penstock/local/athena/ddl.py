"""Statements that change or show the catalog."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from penstock import storage
from penstock.local.athena.catalog import Catalog, Column, Partition, Table, view_text
from penstock.local.athena.createtable import columns, create_external, ddl_of
from penstock.local.athena.cursor import Cursor
from penstock.local.athena.errors import QueryError, unsupported
from penstock.local.athena.types import ColumnType
from penstock.local.wire import AwsError

__all__ = ["Listing", "create_view", "run"]

HIVE = "org.apache.hadoop.hive.ql.exec.DDLTask"


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The result of DDL: lines whose cells are divided by tabs, and the names of the cells."""

    lines: Sequence[str] = ()
    names: Sequence[str] = ()

    def columns(self) -> list[dict[str, Any]]:
        """Return their ColumnInfo."""
        return [ColumnType(kind="string").info(name) | {"Type": "string"} for name in self.names]


@dataclass(kw_only=True, slots=True)
class _Session:
    catalog: Catalog
    database: str
    cursor: Cursor = field(repr=False)

    def table(self) -> Table:
        """Take a table's name.

        Raises:
            QueryError: There is no such table.
        """
        schema, name = self.cursor.table(self.database)
        return self.known(schema, name)

    def known(self, schema: str, name: str) -> Table:
        found = self.catalog.table(schema, name)
        if found is None:
            raise QueryError(
                f"FAILED: SemanticException [Error 10001]: Table not found {schema}.{name}"
            )
        return found


def run(sql: str, catalog: Catalog, database: str) -> Listing:
    """Run a statement of DDL.

    Raises:
        QueryError: It cannot be run.
    """
    session = _Session(catalog=catalog, database=database, cursor=Cursor(sql, hive=True))
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


def _create_database(session: _Session) -> Listing:
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


def _drop_database(session: _Session) -> Listing:
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


def _create_external(session: _Session) -> Listing:
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


def _drop(view: bool) -> Callable[[_Session], Listing]:  # noqa: FBT001
    def handler(session: _Session) -> Listing:
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


def _alter(session: _Session) -> Listing:
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
    kept = ("Name", "Description", "Owner", "Retention", "StorageDescriptor", "PartitionKeys")
    kept += ("TableType", "Parameters")
    return {name: table.raw[name] for name in kept if table.raw.get(name) is not None}


def _changed(session: _Session, table: Table, made: Sequence[Column]) -> Listing:
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


def _add_partitions(session: _Session, table: Table) -> Listing:
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


def _drop_partitions(session: _Session, table: Table) -> Listing:
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


def _msck(session: _Session) -> Listing:
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


# ---------------------------------------------------------------- SHOW, DESCRIBE


def _matching(cursor: Cursor, names: Sequence[str]) -> list[str]:
    """Return the names that the pattern behind SHOW matches: ``'a*|b*'``, or LIKE 'a%'."""
    sql = cursor.take("LIKE")
    if cursor.ended:
        return list(names)
    pattern = cursor.string().lower()
    cursor.end()
    if sql and "*" not in pattern:
        wanted = re.compile(
            "".join({"%": ".*", "_": "."}.get(each, re.escape(each)) for each in pattern)
        )
        return [name for name in names if wanted.fullmatch(name)]
    return [
        name for name in names if any(fnmatch.fnmatch(name, each) for each in pattern.split("|"))
    ]


def _show_databases(session: _Session) -> Listing:
    names = [each["Name"] for each in session.catalog.databases()]
    return Listing(lines=_matching(session.cursor, names), names=("database_name",))


def _in_database(session: _Session) -> str:
    cursor = session.cursor
    name = cursor.name() if cursor.take("IN") or cursor.take("FROM") else session.database
    if session.catalog.database(name) is None:
        raise QueryError(
            f"FAILED: SemanticException [Error 10072]: Database does not exist: {name}"
        )
    return name


def _show_tables(session: _Session) -> Listing:
    names = [each.name for each in session.catalog.tables(_in_database(session))]
    return Listing(lines=_matching(session.cursor, names), names=("tab_name",))


def _show_views(session: _Session) -> Listing:
    names = [each.name for each in session.catalog.tables(_in_database(session)) if each.is_view]
    return Listing(lines=_matching(session.cursor, names), names=("views",))


def _show_partitions(session: _Session) -> Listing:
    table = session.table()
    session.cursor.end()
    if not table.keys:
        raise QueryError(
            f"FAILED: Execution Error, return code 1 from {HIVE}. Table {table.name} is not a "
            "partitioned table"
        )
    lines = [
        "/".join(f"{key.name}={value}" for key, value in zip(table.keys, each.values, strict=True))
        for each in session.catalog.partitions(table)
    ]
    return Listing(lines=lines, names=("partition",))


def _show_columns(session: _Session) -> Listing:
    cursor = session.cursor
    if not cursor.take("IN"):
        cursor.expect("FROM")
    schema, name = cursor.table(session.database)
    if cursor.take("IN") or cursor.take("FROM"):
        schema = cursor.name()
    table = session.known(schema, name)
    width = max((len(each.name) for each in (*table.columns, *table.keys)), default=0)
    lines = [each.name.ljust(width) for each in (*table.columns, *table.keys)]
    return Listing(lines=lines, names=("field",))


def _show_create_table(session: _Session) -> Listing:
    table = session.table()
    session.cursor.end()
    if table.is_view:
        raise QueryError(f"FAILED: SemanticException: {table.name} is a view: SHOW CREATE VIEW")
    return Listing(lines=ddl_of(table), names=("createtab_stmt",))


def _show_create_view(session: _Session) -> Listing:
    view = session.table()
    text = f"CREATE VIEW {view.database}.{view.name} AS\n{view.view_sql().strip()}"
    return Listing(lines=text.split("\n"), names=("Create View",))


def _show_properties(session: _Session) -> Listing:
    table = session.table()
    lines = [f"{name}\t{value}" for name, value in sorted(table.parameters.items())]
    return Listing(lines=lines, names=("prpt_name", "prpt_value"))


def _describe(session: _Session) -> Listing:
    cursor = session.cursor
    if cursor.take("EXTENDED") or cursor.take("FORMATTED"):
        raise unsupported("DESCRIBE EXTENDED and FORMATTED")
    table = session.table()
    cursor.end()

    def row(column: Column) -> str:
        return f"{column.name:<20}\t{column.type_text:<20}\t{column.comment:<20}"

    lines = [row(column) for column in (*table.columns, *table.keys)]
    if table.keys:
        head = f"{'# col_name':<20}\t{'data_type':<20}\t{'comment':<20}"
        lines += ["\t \t ", "# Partition Information\t \t ", head, "\t \t "]
        lines += [row(key) for key in table.keys]
    return Listing(lines=lines, names=("col_name", "data_type", "comment"))


HANDLERS: Mapping[tuple[str, ...], Callable[[_Session], Listing]] = {
    ("CREATE", "DATABASE"): _create_database,
    ("CREATE", "SCHEMA"): _create_database,
    ("CREATE", "EXTERNAL", "TABLE"): _create_external,
    ("DROP", "DATABASE"): _drop_database,
    ("DROP", "SCHEMA"): _drop_database,
    ("DROP", "TABLE"): _drop(view=False),
    ("DROP", "VIEW"): _drop(view=True),
    ("ALTER", "TABLE"): _alter,
    ("MSCK", "REPAIR", "TABLE"): _msck,
    ("SHOW", "DATABASES"): _show_databases,
    ("SHOW", "SCHEMAS"): _show_databases,
    ("SHOW", "TABLES"): _show_tables,
    ("SHOW", "VIEWS"): _show_views,
    ("SHOW", "PARTITIONS"): _show_partitions,
    ("SHOW", "COLUMNS"): _show_columns,
    ("SHOW", "CREATE", "TABLE"): _show_create_table,
    ("SHOW", "CREATE", "VIEW"): _show_create_view,
    ("SHOW", "TBLPROPERTIES"): _show_properties,
    ("DESCRIBE",): _describe,
    ("DESC",): _describe,
}
