"""SHOW and DESCRIBE."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence

from penstock.local.athena.catalog import Column
from penstock.local.athena.createtable import ddl_of
from penstock.local.athena.cursor import Cursor
from penstock.local.athena.errors import QueryError, unsupported
from penstock.local.athena.session import HIVE, Listing, Session

__all__ = ["HANDLERS"]


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


def _show_databases(session: Session) -> Listing:
    names = [each["Name"] for each in session.catalog.databases()]
    return Listing(lines=_matching(session.cursor, names), names=("database_name",))


def _in_database(session: Session) -> str:
    cursor = session.cursor
    name = cursor.name() if cursor.take("IN") or cursor.take("FROM") else session.database
    if session.catalog.database(name) is None:
        raise QueryError(
            f"FAILED: SemanticException [Error 10072]: Database does not exist: {name}"
        )
    return name


def _show_tables(session: Session) -> Listing:
    names = [each.name for each in session.catalog.tables(_in_database(session))]
    return Listing(lines=_matching(session.cursor, names), names=("tab_name",))


def _show_views(session: Session) -> Listing:
    names = [each.name for each in session.catalog.tables(_in_database(session)) if each.is_view]
    return Listing(lines=_matching(session.cursor, names), names=("views",))


def _show_partitions(session: Session) -> Listing:
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


def _show_columns(session: Session) -> Listing:
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


def _show_create_table(session: Session) -> Listing:
    table = session.table()
    session.cursor.end()
    if table.is_view:
        raise QueryError(f"FAILED: SemanticException: {table.name} is a view: SHOW CREATE VIEW")
    return Listing(lines=ddl_of(table), names=("createtab_stmt",))


def _show_create_view(session: Session) -> Listing:
    view = session.table()
    text = f"CREATE VIEW {view.database}.{view.name} AS\n{view.view_sql().strip()}"
    return Listing(lines=text.split("\n"), names=("Create View",))


def _show_properties(session: Session) -> Listing:
    table = session.table()
    lines = [f"{name}\t{value}" for name, value in sorted(table.parameters.items())]
    return Listing(lines=lines, names=("prpt_name", "prpt_value"))


def _describe(session: Session) -> Listing:
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


HANDLERS: Mapping[tuple[str, ...], Callable[[Session], Listing]] = {
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
