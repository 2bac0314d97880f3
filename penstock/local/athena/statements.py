"""What a text asks for: which kind of statement, and the parts of those that are Athena's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from penstock.local.athena.cursor import Cursor
from penstock.local.athena.errors import QueryError, unsupported
from penstock.local.athena.query import mismatched, parsed

__all__ = ["Statement", "read"]

Kind = Literal["select", "ctas", "insert", "unload", "view", "ddl", "prepare", "execute"]
COMMENT = re.compile(r"\A(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.DOTALL)
DDL = ("CREATE", "DROP", "ALTER", "MSCK", "SHOW", "DESCRIBE", "DESC")
ICEBERG = ("MERGE", "UPDATE", "DELETE", "VACUUM", "OPTIMIZE")
UTILITY = ("SHOW", "DESCRIBE", "DESC", "EXPLAIN")


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """A statement, parsed as far as that needs no catalog.

    Attributes:
        kind: What runs it.
        word: The first words, like ``CREATE_TABLE``, for SubstatementType.
        sql: The whole.
        query: The SELECT in it, with its place kept by spaces; of DDL the whole.
        database: Of the table that it makes; empty for the session's.
        table: That table's name.
        columns: Named ones of an INSERT.
        properties: Of its WITH.
        flags: ``if_not_exists``, ``replace``, ``no_data``.
        values: Of EXECUTE ... USING.
        target: Of UNLOAD ... TO.
    """

    kind: Kind
    word: str
    sql: str
    query: str = ""
    database: str = ""
    table: str = ""
    columns: tuple[str, ...] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    values: tuple[str, ...] = ()
    target: str = ""

    @property
    def family(self) -> str:
        """Return the StatementType."""
        first = self.word.partition("_")[0]
        if first in UTILITY:
            return "UTILITY"
        return "DDL" if self.kind in ("ctas", "view", "ddl", "prepare") else "DML"


def read(sql: str, database: str) -> Statement:
    """Parse a text.

    Raises:
        QueryError: It is no statement of Athena's, or one that the local plane has not.
    """
    body = sql[COMMENT.match(sql).end() :] if COMMENT.match(sql) else sql  # type: ignore[union-attr]
    first = (re.match(r"[A-Za-z]+", body) or [""])[0].upper()
    if first in ("SELECT", "WITH", "VALUES", "TABLE") or body.startswith("("):
        text = re.sub(r";\s*\Z", "", sql)
        parsed(text)
        return Statement(kind="select", word="SELECT", sql=sql, query=text)
    if first == "INSERT":
        return _insert(sql, database)
    if first == "UNLOAD":
        return _unload(sql)
    if first == "CREATE" and not re.match(r"CREATE\s+(EXTERNAL|DATABASE|SCHEMA)\b", body, re.I):
        return _create(sql, database)
    if first in DDL:
        return Statement(kind="ddl", word=_words(body), sql=sql, query=sql)
    if first in ("PREPARE", "EXECUTE", "DEALLOCATE"):
        return _prepared(sql, first)
    if first in ICEBERG:
        raise unsupported(f"{first}: it needs Iceberg tables")
    if first == "EXPLAIN":
        raise unsupported("EXPLAIN: its plans would be another engine's")
    if first in ("GRANT", "REVOKE", "SET", "USE", "CALL", "ANALYZE", "START", "COMMIT", "ROLLBACK"):
        raise QueryError("Queries of this type are not supported", kind=1007)
    line = sql[: len(sql) - len(body)].count("\n") + 1
    raise mismatched(line, 1, (re.match(r"\S+", body) or ["<EOF>"])[0])


def _words(body: str) -> str:
    words = re.findall(r"[A-Za-z]+", body)[:3]
    kept = words[:1] if words[0].upper() in ("MSCK", "DESCRIBE", "DESC") else words[:2]
    return "_".join(word.upper() for word in kept if word.upper() != "EXTERNAL")


def _insert(sql: str, database: str) -> Statement:
    cursor = Cursor(sql, hive=False)
    cursor.expect("INSERT", "INTO")
    schema, table = cursor.table(database)
    columns: list[str] = []
    if cursor.peek() == "(" and cursor.peek(1) not in ("SELECT", "WITH", "VALUES", "("):
        cursor.expect("(")
        while not cursor.take(")"):
            columns.append(cursor.name())
            cursor.take(",")
    query = cursor.rest()
    parsed(query)
    return Statement(
        kind="insert",
        word="INSERT",
        sql=sql,
        query=query,
        database=schema,
        table=table,
        columns=tuple(columns),
    )


def _unload(sql: str) -> Statement:
    cursor = Cursor(sql, hive=False)
    cursor.expect("UNLOAD")
    start, end = cursor.skip_parens()
    query = cursor.between(start, end)
    cursor.expect("TO")
    target = cursor.string()
    cursor.expect("WITH")
    properties = {name.lower(): value for name, value in cursor.properties().items()}
    cursor.end()
    parsed(query)
    return Statement(
        kind="unload", word="UNLOAD", sql=sql, query=query, target=target, properties=properties
    )


def _create(sql: str, database: str) -> Statement:
    cursor = Cursor(sql, hive="`" in sql)
    cursor.expect("CREATE")
    flags = {"replace"} if cursor.take("OR", "REPLACE") else set()
    if cursor.take("VIEW"):
        return _view(cursor, database, frozenset(flags))
    if flags or cursor.peek() != "TABLE":
        raise cursor.wrong("VIEW")
    cursor.expect("TABLE")
    if cursor.take("IF", "NOT", "EXISTS"):
        flags.add("if_not_exists")
    schema, table = cursor.table(database)
    if cursor.peek() == "(":
        raise unsupported("CREATE TABLE with columns: it needs Iceberg; say CREATE EXTERNAL TABLE")
    properties: dict[str, Any] = {}
    if cursor.take("WITH"):
        properties = {name.lower(): value for name, value in cursor.properties().items()}
    cursor.expect("AS")
    tail = [token.text.upper() for token in cursor.tokens[-3:]]
    if tail == ["WITH", "NO", "DATA"] or tail[-2:] == ["WITH", "DATA"]:
        flags |= {"no_data"} if tail[-2] == "NO" else set()
        del cursor.tokens[-3 if tail[-2] == "NO" else -2 :]
    query = cursor.rest()
    parsed(query)
    return Statement(
        kind="ctas",
        word="CREATE_TABLE_AS_SELECT",
        sql=sql,
        query=query,
        database=schema,
        table=table,
        properties=properties,
        flags=frozenset(flags),
    )


def _view(cursor: Cursor, database: str, flags: frozenset[str]) -> Statement:
    schema, table = cursor.table(database)
    cursor.expect("AS")
    query = cursor.rest()
    parsed(query)
    return Statement(
        kind="view",
        word="CREATE_VIEW",
        sql=cursor.sql,
        query=query,
        database=schema,
        table=table,
        flags=flags,
    )


def _prepared(sql: str, first: str) -> Statement:
    cursor = Cursor(sql, hive=False)
    cursor.expect(first)
    if first == "DEALLOCATE":
        cursor.expect("PREPARE")
    name = cursor.name()
    if first == "PREPARE":
        cursor.expect("FROM")
        query = cursor.rest()
        return Statement(kind="prepare", word=first, sql=sql, query=query.strip(), table=name)
    values: list[str] = []
    if first == "EXECUTE" and cursor.take("USING"):
        while not cursor.ended:
            start = cursor.tokens[cursor.at].start
            while not cursor.ended and cursor.peek() != ",":  # type: ignore[redundant-expr]  # it moves
                if cursor.peek() == "(":
                    cursor.skip_parens()
                else:
                    cursor.at += 1
            values.append(sql[start : cursor.tokens[cursor.at - 1].end + 1])
            cursor.take(",")
    cursor.end()
    kind: Kind = "execute" if first == "EXECUTE" else "prepare"
    return Statement(kind=kind, word=first, sql=sql, table=name, values=tuple(values))
